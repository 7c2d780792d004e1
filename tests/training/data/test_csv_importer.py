import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training.data.dataset import EventType, read_dataset
from training.data.importers.catalogue_files import CatalogueFiles
from training.data.importers.csv import DEFAULT_COLUMNS, NO_CATALOGUE, Columns, import_csv
from training.data.importers.report import ImportReport
from training.errors import FeatureMismatch, SchemaError

NOW_S = 1_790_000_000.0


def _import(
    folder: Path,
    text: str,
    *,
    columns: Columns = DEFAULT_COLUMNS,
    event_types: dict[str, EventType] | None = None,
    catalogue: CatalogueFiles = NO_CATALOGUE,
) -> ImportReport:
    (folder / "events.csv").write_text(text, encoding="utf-8")
    return import_csv(
        folder / "events.csv",
        folder / "shop",
        columns=columns,
        event_types=event_types,
        catalogue=catalogue,
        clock=lambda: NOW_S,
    )


def _rejects(report: ImportReport) -> list[tuple[int, str]]:
    assert report.reject_file is not None
    return pl.read_csv(report.reject_file).rows()


def test_columns_are_mapped(tmp_path: Path) -> None:
    columns = Columns(user="who", item="what", timestamp="at", type="how", value="stars")
    text = "stars,at,what,who,how\n4.5,1780272000,lamp,ann,view\n,1780272001000,rug,bob,buy\n"

    _import(tmp_path, text, columns=columns)

    ds = read_dataset(tmp_path / "shop")
    assert ds.users.ids(ds.interactions.user_rows) == ["ann", "bob"]
    assert ds.items.ids(ds.interactions.item_rows) == ["lamp", "rug"]
    assert ds.interactions.types.tolist() == ["view", "buy"]
    assert ds.interactions.values.tolist() == [4.5, 1.0]
    assert set(ds.event_types) == {"buy", "view"}


@pytest.mark.parametrize(
    "moment",
    [
        "1780272000",
        "1780272000.000",
        "1780272000000",
        "2026-06-01",
        "2026-06-01 00:00:00",
        "2026-06-01T00:00:00",
        "2026-06-01T00:00:00Z",
        "2026-06-01T00:00:00.000Z",
        "2026-06-01T02:00:00+02:00",
        "2026-06-01 02:00:00+0200",
    ],
)
def test_common_ways_to_write_a_moment_agree(tmp_path: Path, moment: str) -> None:
    _import(tmp_path, f"user_id,item_id,timestamp\na,b,{moment}\n")

    times = read_dataset(tmp_path / "shop").interactions.timestamps

    assert times is not None
    assert times.tolist() == [1_780_272_000_000]


def test_ids_stay_text_with_leading_zeros(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,price\n007,3\n")

    _import(tmp_path, "user_id,item_id\n01,007\n", catalogue=CatalogueFiles(tmp_path / "items.csv"))

    ds = read_dataset(tmp_path / "shop")
    assert (ds.users.ids_tuple, ds.items.ids_tuple) == (("01",), ("007",))


def test_quoted_fields_may_hold_commas_and_line_breaks(tmp_path: Path) -> None:
    report = _import(tmp_path, 'user_id,item_id\na,"x,\n1"\na,\nb,y\n')

    assert set(read_dataset(tmp_path / "shop").items.ids_tuple) == {"x,\n1", "y"}
    # The quoted row takes lines 2 and 3.
    assert _rejects(report) == [(4, "item_id is empty")]


def test_unusable_rows_are_written_with_line_and_reason(tmp_path: Path) -> None:
    text = (
        "user_id,item_id,timestamp,type,value\n"
        "a,b,1780272000,view,1\n"
        ",b,1780272000,view,1\n"
        "a,,1780272000,view,1\n"
        "a,b,yesterday,view,1\n"
        "a,b,-5,view,1\n"
        "a,b,1880272000,view,1\n"
        "a,b,1780272000,veiw,1\n"
        "a,b,1780272000,view,lots\n"
        "a,b,1780272000,view,inf\n"
        "a,b,1780272000\n"
        "a,b,1780272000,view,1,2\n"
        f"{'u' * 257},b,1780272000,view,1\n"
        "\n"
        "a,b,1780272000,view,1\n"
    )

    report = _import(tmp_path, text, event_types={"view": EventType(0.5)})

    assert _rejects(report) == [
        (3, "user_id is empty"),
        (4, "item_id is empty"),
        (5, "timestamp is not a time"),
        (6, "timestamp lies before 1973"),
        (7, "timestamp lies in the future"),
        (8, "event type is unknown"),
        (9, "value is not a number"),
        (10, "value is not finite"),
        (11, "3 fields, the header has 5"),
        (12, "6 fields, the header has 5"),
        (13, "user_id is longer than 256 bytes"),
    ]


def test_counts_reconcile(tmp_path: Path) -> None:
    report = _import(tmp_path, "user_id,item_id\na,b\na,b\n,b\na,c\na\n")

    # Five rows: a-b twice (one collapses), one without user, a-c, one too short.
    assert report.counts["read"] == 5
    assert (report.counts["interactions"], report.counts["collapsed"], report.rejected) == (2, 1, 2)
    assert "2 of 5 rows were rejected" in report.warnings[-1]


def test_bytes_that_are_no_utf8_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_bytes(b"user_id,item_id\ncaf\xe9,x\nann,x\n")

    report = import_csv(tmp_path / "events.csv", tmp_path / "shop")

    assert _rejects(report) == [(2, "not UTF-8")]


def test_a_clean_import_removes_the_old_reject_file(tmp_path: Path) -> None:
    _import(tmp_path, "user_id,item_id\na,b\n,b\n")

    report = _import(tmp_path, "user_id,item_id\na,b\n")

    assert report.reject_file is None
    assert not (tmp_path / "shop.rejects.csv").exists()


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"none of 1 rows can be used; see .*shop.rejects.csv"):
        _import(tmp_path, "user_id,item_id\n,b\n")


def test_a_missing_column_lists_the_columns(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="has no column 'item_id'; its columns are user_id, sku"):
        _import(tmp_path, "user_id,sku\na,b\n")


def test_a_chosen_column_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="has no column 'at'"):
        _import(tmp_path, "user_id,item_id\na,b\n", columns=Columns(timestamp="at"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"nothing.csv does not exist"):
        import_csv(tmp_path / "nothing.csv", tmp_path / "shop")


def test_tabs_and_gzip_follow_the_file_name(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "events.tsv.gz", "wt") as file:
        file.write("user_id\titem_id\na\tb\n")

    report = import_csv(tmp_path / "events.tsv.gz", tmp_path / "shop")

    assert report.counts["interactions"] == 1


def test_ndjson_rows_may_lack_optional_values(tmp_path: Path) -> None:
    (tmp_path / "events.ndjson").write_text(
        '{"user_id": "a", "item_id": 7}\n'
        "broken\n"
        "[1]\n"
        '{"user_id": "b", "item_id": "x", "timestamp": 1780272000, "value": 2.5}\n'
    )

    report = import_csv(tmp_path / "events.ndjson", tmp_path / "shop")

    events = read_dataset(tmp_path / "shop").interactions
    assert events.timestamps is not None
    assert events.timestamps.tolist() == [0, 1_780_272_000_000]
    assert events.values.tolist() == [1.0, 2.5]
    assert _rejects(report) == [(2, "not valid JSON"), (3, "not a JSON object")]


def test_parquet_moments_are_read_as_times(tmp_path: Path) -> None:
    moments = pl.Series([1_780_272_000_000_000]).cast(pl.Datetime("us"))
    pl.DataFrame({"user_id": [1], "item_id": [2], "timestamp": moments}).write_parquet(
        tmp_path / "events.parquet"
    )

    import_csv(tmp_path / "events.parquet", tmp_path / "shop")

    events = read_dataset(tmp_path / "shop").interactions
    assert events.timestamps is not None
    assert events.timestamps.tolist() == [1_780_272_000_000]


def test_items_bring_metadata_and_categories(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("sku,Room Kind,price\nlamp,hall,3.5\nrug,,9\n")

    report = _import(
        tmp_path,
        "user_id,sku\na,lamp\na,ghost\n",
        columns=Columns(item="sku"),
        catalogue=CatalogueFiles(tmp_path / "items.csv", categorical=["Room Kind"]),
    )

    ds = read_dataset(tmp_path / "shop")
    assert ds.items.ids_tuple == ("lamp", "rug", "ghost")
    assert ds.metadata["price"].to_list() == [3.5, 9.0, None]
    assert ds.codes["room_kind"].tolist() == [0, -1, -1]
    assert "1 items are not in items.csv, first 'ghost'" in report.warnings[0]


def test_categories_without_items_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="none was given; add one"):
        _import(tmp_path, "user_id,item_id\na,b\n", catalogue=CatalogueFiles(categorical=["kind"]))


def test_features_are_put_in_the_order_of_the_items(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.array([[1, 1], [2, 2], [3, 3]], np.float32))
    (tmp_path / "ids.txt").write_text("z\nc\na\n")
    files = CatalogueFiles(
        features={"image": tmp_path / "image.npy"}, feature_ids={"image": tmp_path / "ids.txt"}
    )

    report = _import(tmp_path, "user_id,item_id\nu,a\nu,b\nu,c\n", catalogue=files)

    image = read_dataset(tmp_path / "shop").features["image"]
    np.testing.assert_array_equal(image, [[3, 3], [np.nan, np.nan], [2, 2]])
    assert "1 rows of image.npy belong to no item and were dropped" in report.warnings
    assert "1 items are not in ids.txt (image)" in report.warnings


def test_features_without_ids_need_one_row_per_item(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.ones((3, 2), np.float32))
    files = CatalogueFiles(features={"image": tmp_path / "image.npy"})

    with pytest.raises(FeatureMismatch, match=r"has 3 rows but items.parquet has 1 items"):
        _import(tmp_path, "user_id,item_id\nu,a\n", catalogue=files)


@pytest.mark.parametrize(
    ("ids", "message"), [("a\n", "has 1 ids; write one id per"), ("a\na\n", "repeats an id")]
)
def test_feature_ids_that_do_not_fit_are_refused(tmp_path: Path, ids: str, message: str) -> None:
    np.save(tmp_path / "image.npy", np.ones((2, 2), np.float32))
    (tmp_path / "ids.txt").write_text(ids)
    files = CatalogueFiles(
        features={"image": tmp_path / "image.npy"}, feature_ids={"image": tmp_path / "ids.txt"}
    )

    with pytest.raises(FeatureMismatch, match=message):
        _import(tmp_path, "user_id,item_id\nu,a\n", catalogue=files)
