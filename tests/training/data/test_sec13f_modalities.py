from pathlib import Path

import numpy as np
import pytest
from thirteen_f import Filings

from training.data.dataset import read_dataset
from training.data.importers.sec13f import import_sec13f
from training.errors import SchemaError

COMPANIES = """cusip,sector,gics,country,description
000000100,bank,F,US,
000001101,bank,F,CN,lends money and takes deposits
000002102,bank,,US,takes deposits and lends money
000003103,bank,F,CN,lends money to farmers and takes deposits
000004104,oil,E,US,drills wells and sells oil
000005105,oil,E,CN,sells oil from deep wells
000006106,oil,,US,owns wells and sells oil
"""


def _source(folder: Path) -> Path:
    filings = Filings()
    cusips = [line.split(",")[0] for line in COMPANIES.splitlines()[1:]]
    filings.file("A", "q1", dict.fromkeys(cusips, (10, 1)))
    source = filings.write(folder / "in")
    (source / "companies.csv").write_text(COMPANIES)
    return source


def test_columns_that_tell_the_same_become_one_modality(tmp_path: Path) -> None:
    import_sec13f(_source(tmp_path), tmp_path / "out", group=0.9)
    ds = read_dataset(tmp_path / "out")

    assert sorted(ds.codes) == ["country", "sector-gics"]
    assert ds.metadata["sector-gics"].to_list() == ds.metadata["sector"].to_list()


def test_prose_becomes_vectors_and_a_company_without_any_is_missing(tmp_path: Path) -> None:
    import_sec13f(_source(tmp_path), tmp_path / "out", texts=["description"])
    ds = read_dataset(tmp_path / "out")

    assert sorted(ds.codes) == ["country", "gics", "sector"]
    assert np.isnan(ds.features["description"]).any(1).tolist() == [True] + [False] * 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": 1.5}, "above 0 and at most 1"),
        ({"texts": ["story"]}, "no table of companies has a column 'story'"),
        ({"texts": ["country"]}, "column 'country' .* share no words"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        import_sec13f(_source(tmp_path), tmp_path / "out", **options)  # type: ignore[arg-type]  # keywords

    assert not (tmp_path / "out").exists()
