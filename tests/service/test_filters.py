import math
import re
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.filters import FilterError, ItemColumns, parse_filter

ITEMS = {
    "title": ["Alien", "Brazil", None, "order of things"],
    "year": [1979, 1985, None, 2001],
    "price": [1.5, math.nan, 3.0, -2.0],
    "in_stock": [True, False, None, True],
    "released": [date(1979, 5, 25), date(1985, 2, 20), None, date(2001, 1, 31)],
    "genres": [["Horror", "Sci-Fi"], ["Comedy"], [], None],
    "runs": [[1, 9], [5], None, []],
    "my field": ["a", "b", "c", 'say "hi"'],
}
TIMES = pa.array(
    [datetime(2024, 1, 31, hour, tzinfo=UTC) for hour in (0, 23)] + [None, datetime(2024, 2, 1)],
    pa.timestamp("ms", tz="Europe/Paris"),
)
COLUMNS = ItemColumns(pa.table(ITEMS | {"added": TIMES}), 4)


def passing(text: str, columns: ItemColumns = COLUMNS) -> list[int]:
    return columns.allowed(parse_filter(text)).mask.nonzero()[0].tolist()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('title = "Alien"', [0]),
        ("title == 'Alien' OR title = \"Brazil\"", [0, 1]),
        ('title > "B"', [1, 3]),
        ('title contains "razi"', [1]),
        ("year < 1985 or year >= 2001", [0, 3]),
        ("year in (1979, 2001.0)", [0, 3]),
        ("year in 1979..1985", [0, 1]),
        ("year between 1980 and 1990 and in_stock = false", [1]),
        ("price <= -2", [3]),
        ("in_stock", [0, 3]),
        ("not in_stock", [1, 2]),
        ("(in_stock or year = 1985) and not title = 'Alien'", [1, 3]),
        ("released = 1985-02-20", [1]),
        ("released < '1985-02-20'", [0]),
        ("`my field` = 'say \"hi\"'", [3]),
        ('`my field` = "say \\"hi\\""', [3]),
    ],
)
def test_a_filter_lets_exactly_these_items_through(text: str, rows: list[int]) -> None:
    assert passing(text) == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("year is missing", [2]),
        ("price is missing", [1]),
        ("genres is not missing", [0, 1]),
        ("year != 1979", [1, 2, 3]),
        ("year not in (1979, 1985)", [2, 3]),
        ("year < 5000 or year >= 5000", [0, 1, 3]),
    ],
)
def test_a_missing_value_equals_nothing_and_is_in_no_range(text: str, rows: list[int]) -> None:
    assert passing(text) == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('genres = "Sci-Fi"', [0]),
        ('genres in ("Comedy", "Horror")', [0, 1]),
        ('genres contains "Comedy"', [1]),
        ('genres != "Comedy"', [0, 2, 3]),
        ("runs in 2..6", [1]),
    ],
)
def test_a_list_passes_when_one_of_its_values_does(text: str, rows: list[int]) -> None:
    assert passing(text) == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("added = 2024-01-31", [0, 1]),
        ("added <= 2024-01-31", [0, 1]),
        ("added > 2024-01-31", [3]),
        ("added in (2024-01-30, 2024-02-01)", [3]),
        ("added in 2024-01-31..2024-01-31", [0, 1]),
        ("added = 2024-01-31T00:00:00Z", [0]),
        ("added = 2024-01-31T01:00:00+01:00", [0]),
    ],
)
def test_a_date_is_its_whole_day_in_utc(text: str, rows: list[int]) -> None:
    assert passing(text) == rows


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("", 1, "expected"),
        ("year = ", 8, "a number"),
        ("year = 1979 title", 13, "'and', 'or', the end"),
        ('title = "Alien', 9, "close it"),
        ("(year = 1979", 13, "')'"),
        ("year ~ 3", 6, "a comparison"),
        ("released = 2024-02-30", 12, "no date"),
        ("in_stock or yaer = 1979", 13, "did you mean 'year'? Fields are: added (date)"),
        ('year = "1979"', 8, "without quotes"),
        ("title = 1979", 9, "in quotes"),
        ("year = true", 8, "a number"),
        ("released = 'soon'", 12, "2024-01-31"),
        ("in_stock > false", 1, "only = and !="),
        ("in_stock in false..true", 1, "only = and !="),
        ("year contains 3", 1, "use =, < or >"),
        ("price = 1e999", 9, "too large"),
    ],
)
def test_a_wrong_filter_is_told_where_and_what_to_write(
    text: str, position: int, words: str
) -> None:
    with pytest.raises(FilterError) as error:
        passing(text)
    assert error.value.position == position
    assert words in error.value.detail


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("year = 1 or " * 341 + "year = 1  ", "4,096 characters"),
        ("not (" * 16 + "year = 1" + ")" * 16, "nested 17 deep, at most 16"),
        (" or ".join(["year = 1"] * 65), "65 tests, at most 64"),
    ],
)
def test_length_depth_and_number_of_tests_are_limited(text: str, words: str) -> None:
    with pytest.raises(FilterError, match=words):
        parse_filter(text)


def test_brackets_alone_exhaust_nothing() -> None:
    assert passing("(" * 2000 + "year = 1979" + ")" * 2000) == [0]


def test_a_catalog_without_metadata_says_so() -> None:
    with pytest.raises(FilterError, match="no metadata"):
        passing("year = 1", ItemColumns(None, 4))


def test_the_mask_of_a_filter_that_comes_again_is_kept_whatever_its_spelling() -> None:
    again = COLUMNS.allowed(parse_filter("( year = 1 )"))
    assert COLUMNS.allowed(parse_filter("year == 1")) is again
    assert not again.mask.flags.writeable


def test_true_and_one_are_not_the_same() -> None:
    assert passing("year = 1") == []
    with pytest.raises(FilterError):
        passing("year = true")


def test_kept_masks_are_bounded() -> None:
    columns = ItemColumns(pa.table({"year": [1]}), 64 << 20)
    assert columns._kept.cache_info().maxsize == 4


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["p", "q", None]).dictionary_encode(),
        pa.chunked_array([["p"], ["q", None]]),
        pa.array(["p", "q", None], pa.string_view()),
    ],
    ids=["dictionary", "chunked", "view"],
)
def test_text_may_be_stored_in_any_way(values: object) -> None:
    assert passing('x in ("p", "r")', ItemColumns(pa.table({"x": values}), 3)) == [0]


def test_columns_that_cannot_be_compared_are_no_fields() -> None:
    table = pa.table({"a": [1], "nested": [{"b": 1}], "raw": [b"x"]})
    assert set(ItemColumns(table, 1).fields) == {"a"}


def test_the_examples_of_the_guide_are_filters() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "filters.md").read_text()
    rows = [line.split("|")[1] for line in guide.splitlines() if line.startswith("| `")]
    examples = [text for row in rows for text in re.findall(r"`([^`]*\w[^`]*)`", row)]
    assert len(examples) > 10
    for text in examples:
        parse_filter(text)


def literals(name: str) -> st.SearchStrategy:
    values = {"n": st.integers(-2, 2) | st.just(0.5), "t": st.sampled_from(["a", "b", "", 'q"'])}
    return values[name[0]]


def written(value: object) -> str:
    return '"' + value.replace('"', '\\"') + '"' if isinstance(value, str) else repr(value)


@st.composite
def conditions(draw: st.DrawFn):
    """The text of one test and the same as a function of the list of an item's values."""
    name = draw(st.sampled_from(["n", "t", "ns", "ts"]))
    kind = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "in", "..", "missing"]))
    low, high = draw(literals(name)), draw(literals(name))
    compare = {
        "=": lambda v: v == low,
        "<": lambda v: v < low,
        "<=": lambda v: v <= low,
        ">": lambda v: v > low,
        ">=": lambda v: v >= low,
        "in": lambda v: v in (low, high),
        "..": lambda v: low <= v <= high,
    }
    if kind == "missing":
        return f"{name} is missing", lambda item: not item[name]
    if kind == "!=":
        return f"{name} <> {written(low)}", lambda item: low not in item[name]
    right = {
        "in": f"in ({written(low)}, {written(high)})",
        "..": f"in {written(low)} .. {written(high)}",
    }
    text = f"{name} {right.get(kind, f'{kind} {written(low)}')}"
    return text, lambda item: any(compare[kind](value) for value in item[name])


def combined(children: st.SearchStrategy) -> st.SearchStrategy:
    return st.one_of(
        children.map(lambda c: (f"not ({c[0]})", lambda item: not c[1](item))),
        st.tuples(children, children).map(
            lambda c: (f"({c[0][0]}) and ({c[1][0]})", lambda i: c[0][1](i) and c[1][1](i))
        ),
        st.tuples(children, children).map(
            lambda c: (f"({c[0][0]}) or {c[1][0]}", lambda i: c[0][1](i) or c[1][1](i))
        ),
    )


items = st.fixed_dictionaries(
    {
        "n": st.none() | literals("n").map(float),
        "t": st.none() | literals("t"),
        "ns": st.none() | st.lists(literals("n").map(float), max_size=3),
        "ts": st.none() | st.lists(literals("t"), max_size=3),
    }
)


@settings(max_examples=100, deadline=None)
@given(st.lists(items, min_size=1, max_size=8), st.recursive(conditions(), combined, max_leaves=8))
def test_any_filter_means_what_its_words_say(rows: list[dict], case: tuple) -> None:
    text, holds = case
    schema = pa.schema(
        {
            "n": pa.float64(),
            "t": pa.string(),
            "ns": pa.list_(pa.float64()),
            "ts": pa.list_(pa.string()),
        }
    )
    columns = ItemColumns(pa.Table.from_pylist(rows, schema), len(rows))
    as_lists = [
        {k: v if isinstance(v, list) else [] if v is None else [v] for k, v in row.items()}
        for row in rows
    ]
    assert passing(text, columns) == [n for n, item in enumerate(as_lists) if holds(item)]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40) | st.text("()<>=!.,'\"`\\ 019aTnotinrd-", max_size=40))
def test_any_text_is_a_filter_or_an_explained_error(text: str) -> None:
    with suppress(FilterError):
        assert set(passing(text)) <= {0, 1, 2, 3}
