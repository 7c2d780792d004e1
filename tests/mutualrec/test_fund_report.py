"""`mutualrec funds report`: the page, asked of a small world whose future is known."""

import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from fund_world import QUARTERS, make_world, write_world

WORLD = make_world()
MODEL = ("--model", "itemcf")
QUARTER, NEXT = QUARTERS[2], QUARTERS[3]  # 2024Q3, 2024Q4
ENTERED = WORLD.held("f02", NEXT) - WORLD.held("f02", QUARTER)


class Page(HTMLParser):
    """The rows of all tables as texts, the classes of all boxes with their titles, all tags."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.boxes: dict[str, str] = {}
        self.tags: set[str] = set()
        self._title, self._in_cell, self._in_title = "", False, False
        self.text = path.read_text()
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        self._in_cell = self._in_cell or tag in ("td", "th")
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self._in_title = tag == "title"
        if self._in_title:
            self._title = ""
        if tag == "rect":
            self.boxes[self._title] = dict(attrs)["class"]

    def handle_endtag(self, tag):
        self._in_cell = self._in_cell and tag not in ("td", "th")
        self._in_title = False

    def handle_data(self, data):
        if self._in_title:
            self._title += data
        if self._in_cell:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def world_folder(tmp_path_factory) -> Path:
    return write_world(WORLD, tmp_path_factory.mktemp("report") / "funds")


@pytest.fixture
def report(invoke, tmp_path, world_folder):
    """Writes a report on a fund of the world and reads the page; versions are shared."""
    home = world_folder.parent / "home"

    def write(fund: str = "f02", *options: object, quarter: str = "2024Q3", folder=world_folder):
        path = tmp_path / "page.html"
        result = invoke(
            *("funds", "report", fund, "--quarter", quarter, "--to", path),
            *("--dataset", folder, "--home", home, *MODEL, *options),
        )
        assert result.code == 0, result.err
        return Page(path)

    return write


def names(companies: set[str]) -> set[str]:
    return {str(WORLD.company(company)["name"]) for company in companies}


def titles(page: Page, kind: str) -> set[str]:
    """The companies in boxes of a kind."""
    found = [title for title, its_kind in page.boxes.items() if its_kind == kind]
    return {re.sub(r"^(Recommended at \d+|Held): ", "", title).split(",")[0] for title in found}


def test_recommended_companies_are_solid_where_the_fund_entered_them_and_dashed_elsewhere(report):
    page = report("f02", "--k", 30)
    assert ENTERED
    hits, misses = titles(page, "hit"), titles(page, "miss")
    assert hits
    assert hits <= names(ENTERED)
    assert not misses & names(ENTERED)
    assert len(hits | misses) == 30
    assert titles(page, "held") == names(WORLD.held("f02", QUARTER))
    assert "stroke-dasharray" in re.search(r"svg \.miss {([^}]*)}", page.text)[1]
    assert "stroke-dasharray" not in re.search(r"svg \.hit {([^}]*)}", page.text)[1]


def test_the_table_has_every_recommendation_with_its_outcome_and_reasons(report):
    page = report("f02", "--k", 30)
    rows = [row for row in page.rows if len(row) == 6 and row[0].isdecimal()]
    assert [int(row[0]) for row in rows] == list(range(1, 31))
    outcome = {row[1]: row[3] for row in rows}
    for name, text in outcome.items():
        assert text.startswith("entered 2024Q4" if name in names(ENTERED) else "did not enter")
    assert any("of the average one" in row[5] for row in rows)
    assert any("similar funds, such as" in row[5] for row in rows)


def test_everything_the_fund_entered_is_listed_with_its_place(report):
    page = report("f02", "--k", 1)
    rows = [row for row in page.rows if len(row) == 5 and row[3] == "2024Q4"]
    assert {row[1] for row in rows} == names(ENTERED)
    assert {row[0].isdecimal() for row in rows} == {True}


def test_parts_of_the_portfolio_by_domain_add_up_before_and_after(report):
    page = report("f02")
    rows = [row for row in page.rows if len(row) == 7][1:]
    for column in (1, 2):
        parts = [float(row[column].replace("<0.1", "0").rstrip("\u00a0%")) for row in rows]
        assert sum(parts) == pytest.approx(100, abs=3)
    before, after = (sum(int(row[3].split(" → ")[n]) for row in rows) for n in (0, 1))
    assert (before, after) == (len(WORLD.held("f02", QUARTER)), len(WORLD.held("f02", NEXT)))


def test_another_category_can_be_the_domain(report):
    page = report("f02", "--domain", "country")
    assert {"United States", "Ireland", "Israel"} & {row[0] for row in page.rows if row}


def test_purchases_of_several_quarters_count_with_ahead(report):
    both = WORLD.held("f02", QUARTERS[3]) | WORLD.held("f02", QUARTERS[4])
    page = report("f02", "--ahead", 2, "--k", 60)
    assert titles(page, "hit") == names(both - WORLD.held("f02", QUARTER))


def test_the_page_loads_nothing_and_runs_nothing(report):
    page = report("f02")
    assert not page.tags & {"script", "link", "img", "iframe", "object", "base"}
    assert re.findall(r"(?:href|src|action)=|url\(|@import", page.text) == []
    assert "default-src 'none'" in page.text


def test_names_of_the_data_are_text_and_never_markup(report, tmp_path):
    companies = WORLD.companies.with_columns(name=pl.col("name") + ' <b>&amp; "Sons"</b>')
    managers = WORLD.managers.with_columns(name=pl.col("name") + "<script>")
    marked = replace(WORLD, companies=companies, managers=managers)
    page = report("f02", folder=write_world(marked, tmp_path / "marked"))
    assert not page.tags & {"script", "b"}
    assert '<b>&amp; "Sons"</b>' in " ".join(map(str, page.rows))


def test_a_fund_that_entered_nothing_still_has_its_page(report, tmp_path):
    held = WORLD.positions.filter(pl.col("quarter") == QUARTER, pl.col("fund_id") == "f02")
    idle = pl.concat(
        [
            WORLD.positions.filter((pl.col("fund_id") != "f02") | (pl.col("quarter") <= QUARTER)),
            held.filter(pl.col("change") != "closed").with_columns(
                quarter=pl.lit(NEXT), filed=pl.lit(date(2025, 2, 14)), change=pl.lit("held")
            ),
        ]
    )
    folder = write_world(replace(WORLD, positions=idle), tmp_path / "idle")
    page = report("f02", folder=folder)
    assert "The fund entered no company in this time" in page.text
    assert titles(page, "hit") == set()


@pytest.mark.parametrize("who", ["f02", "0000001002", "davis capital 2"])
def test_a_fund_is_found_by_id_cik_and_name(report, who):
    assert "DAVIS CAPITAL 2: where it may invest after 2024Q3" in report(who).text


def test_data_and_models_are_those_of_the_catalog_where_none_are_named(invoke, world_folder):
    for arguments in (
        ("train", world_folder, "--model", "itemcf", "--param", "rank=4"),
        ("ensemble", world_folder),
        ("publish", world_folder, "--catalog", "funds"),
    ):
        assert invoke(*arguments).code == 0
    result = invoke(
        "funds", "report", "f02", "--quarter", "2024Q3", "--to", world_folder / "a.html"
    )
    assert result.code == 0, result.err
    assert "itemcf (weight 1)" in (world_folder / "a.html").read_text()


@pytest.mark.parametrize(
    ("fund", "quarter", "message"),
    [
        (
            "f02",
            "2019Q9",
            "quarter '2019Q9' is in no report; write it like 2025Q1, there are 2024Q1",
        ),
        ("f02", "2025Q1", "2025Q1 is the newest quarter, so what came next is not known yet"),
        ("baker", "2024Q3", "funds fit 'baker'; did you mean 'f01' (BAKER & SONS CAPITAL 1)"),
        ("nobody", "2024Q3", "no fund is called 'nobody'"),
    ],
)
def test_an_unknown_fund_or_quarter_is_an_error_that_names_what_there_is(
    invoke, world_folder, fund, quarter, message
):
    result = invoke(
        "funds", "report", fund, "--quarter", quarter, "--dataset", world_folder, *MODEL
    )
    assert result.code == 1
    assert message in result.err


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (QUARTER, "f02 did not report 2024Q3; it has 2024Q1, 2024Q2, 2024Q4, 2025Q1"),
        (NEXT, "f02 reported nothing in 2024Q4; it has 2024Q1, 2024Q2, 2024Q3, 2025Q1. Name"),
    ],
)
def test_a_report_the_fund_did_not_make_is_an_error(invoke, tmp_path, missing, message):
    other = WORLD.positions.filter((pl.col("fund_id") != "f02") | (pl.col("quarter") != missing))
    folder = write_world(replace(WORLD, positions=other), tmp_path / "gap")
    result = invoke("funds", "report", "f02", "--quarter", "2024Q3", "--dataset", folder, *MODEL)
    assert result.code == 1
    assert message in result.err


def test_what_has_no_data_to_report_on_says_what_to_name(invoke, demo, world_folder):
    result = invoke("funds", "report", "f02", "--quarter", "2024Q3")
    assert (result.code, "--dataset" in result.err) == (1, True)
    result = invoke("funds", "report", "f02", "--quarter", "2024Q3", "--dataset", demo)
    assert (result.code, "knows no fund companies" in result.err) == (1, True)
    result = invoke(
        *("funds", "report", "f02", "--quarter", "2024Q3", "--domain", "city", *MODEL),
        *("--dataset", world_folder),
    )
    assert result.code == 1
    assert "no category 'city'; name one with --domain: country, sector" in result.err


def test_companies_without_any_category_are_all_of_an_unknown_one(report, tmp_path):
    names_only = WORLD.companies.select("item_id", "name")
    folder = write_world(replace(WORLD, companies=names_only), tmp_path / "bare")
    described = (folder / "dataset.toml").read_text().split("[modalities.")[0]
    (folder / "dataset.toml").write_text(described)
    page = report("f02", "--k", 30, folder=folder)
    rows = [row for row in page.rows if len(row) == 7][1:]
    assert [row[0] for row in rows] == ["unknown"]
    assert titles(page, "held") == names(WORLD.held("f02", QUARTER))
