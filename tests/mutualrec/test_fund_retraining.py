"""A new quarter's filings, imported into the folder of the data before, retrain the catalog."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from thirteen_f import Filings

from service.app import create_app
from service.artifact import current_version
from service.settings import Settings

FUNDS = [f"FUND {letter}" for letter in "ABCDEFGH"]
COMPANIES = [
    f"{number}{number}{number}{number}{number}{number}10{number}" for number in range(1, 10)
]
PROMOTED, NOTHING_NEW = 0, 10


def held(fund: int, quarter: int) -> list[str]:
    """Five companies in a row, and the next one instead of the first a quarter later."""
    return [COMPANIES[(fund + quarter + step) % len(COMPANIES)] for step in range(5)]


def filings(num_quarters: int) -> Filings:
    """The reports of every fund; a late one joins with the second quarter."""
    written = Filings()
    for number in range(num_quarters):
        for fund, name in enumerate(FUNDS[: len(FUNDS) - 1 + number]):
            holdings = dict.fromkeys(held(fund, number), (1000 + fund, 100))
            written.file(name, f"q{number + 1}", holdings)
    return written


@pytest.fixture
def catalog(invoke, tmp_path) -> Path:
    """Imports a first quarter and publishes it; gives the dataset folder."""
    data = tmp_path / "data"
    filings(1).write(tmp_path / "first")
    for arguments in (
        ("import", "sec13f", tmp_path / "first", data),
        ("train", data, "--model", "itemcf", "--param", "rank=4", "--split", "leave_last_out"),
        ("ensemble", data),
        ("publish", data, "--catalog", "funds"),
    ):
        result = invoke(*arguments)
        assert result.code == 0, result.err
    return data


@pytest.fixture
def ask(tmp_path):
    """Asks a service of the home folder."""

    def get(path: str) -> dict:
        settings = Settings.load({}, home=tmp_path / "var", index="cpu", audit_fsync=False)
        with TestClient(create_app(settings)) as client:
            response = client.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    return get


def test_a_new_quarter_is_served_after_retraining_and_nothing_is_new_before_and_after_it(
    invoke, catalog, tmp_path, ask
):
    assert invoke("retrain", "--catalog", "funds").code == NOTHING_NEW
    assert ask("/funds/FUND%20A")["quarter"] == "2024Q1"
    first = current_version(tmp_path / "var" / "artifacts", "funds")

    filings(2).write(tmp_path / "both")
    assert invoke("import", "sec13f", tmp_path / "both", catalog).code == 0
    result = invoke("retrain", "--catalog", "funds")
    assert result.code == PROMOTED, result.err
    assert current_version(tmp_path / "var" / "artifacts", "funds") != first

    fund = ask("/funds/FUND%20A")
    assert (fund["quarter"], fund["data_date"]) == ("2024Q2", "2024-06-30")
    # Fund A (number 0) held companies 0 to 4, then 1 to 5: it entered the sixth, closed the first.
    changes = {holding["company_id"]: holding["change"] for holding in fund["holdings"]}
    assert changes == {cusip[:6]: "held" for cusip in COMPANIES[1:5]} | {COMPANIES[5][:6]: "new"}
    answer = ask("/funds/FUND%20A/investments?k=9")
    recommended = {company["company_id"] for company in answer["investments"]}
    assert recommended == {cusip[:6] for cusip in (COMPANIES[0], *COMPANIES[6:])}
    assert invoke("retrain", "--catalog", "funds").code == NOTHING_NEW


def test_a_fund_that_files_for_the_first_time_has_recommendations_of_the_models(
    invoke, catalog, tmp_path, ask
):
    filings(2).write(tmp_path / "both")
    assert invoke("import", "sec13f", tmp_path / "both", catalog).code == 0
    assert invoke("retrain", "--catalog", "funds").code == PROMOTED
    listed = ask("/funds/FUND%20H/investments?k=2")["investments"]
    assert [company["source"] for company in listed] == ["model", "model"]
