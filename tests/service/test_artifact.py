import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.artifact import (
    Block,
    DailyCounts,
    list_versions,
    load_artifact,
    write_artifact,
)
from service.errors import (
    ArtifactCorrupt,
    ArtifactIncompatible,
    ArtifactNameInvalid,
    ArtifactNotFound,
)


@pytest.fixture
def version(tmp_path: Path, publish) -> str:
    return publish(tmp_path)


def edit_manifest(folder: Path, **changes) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_written_artifact_loads_with_the_same_contents(tmp_path, make_draft):
    draft = make_draft()
    artifact = load_artifact(tmp_path, "default", write_artifact(tmp_path, "default", draft))
    np.testing.assert_array_equal(artifact.users, draft.users)
    np.testing.assert_array_equal(artifact.items, draft.items)
    np.testing.assert_array_equal(artifact.popularity, draft.popularity)
    np.testing.assert_array_equal(artifact.seen(1), [1, 2])
    assert artifact.item_metadata.to_pydict() == draft.item_metadata.to_pydict()
    assert (list(artifact.user_ids), list(artifact.item_ids)) == (draft.user_ids, draft.item_ids)
    assert artifact.manifest.blocks == tuple(draft.blocks)


def test_factors_and_covariances_are_kept_per_block(tmp_path, make_draft):
    covariance, factors = np.eye(4, dtype=np.float32), np.ones((12, 4), np.float32)
    draft = make_draft(
        blocks=[Block("ease", "factors", 0, 4, 0.5, zscore=True)],
        covariances={"ease": covariance},
        factors={"ease": factors},
    )
    artifact = load_artifact(tmp_path, "default", write_artifact(tmp_path, "default", draft))
    np.testing.assert_array_equal(artifact.covariances["ease"], covariance)
    np.testing.assert_array_equal(artifact.factors["ease"], factors)


def test_daily_counts_features_and_category_fields_are_kept(tmp_path, make_draft):
    day = 86_400_000
    daily = DailyCounts.of(
        np.array([day, 2 * day, day + 5, 0, day]),
        np.array([3, 3, 3, 3, 11]),
        np.array([1.0, 0.5, 2.0, 9.0, 0.0], np.float32),
    )
    features = {"image": np.eye(12, 5, dtype=np.float32)}
    draft = make_draft(daily=daily, features=features, category_fields=["title"])
    artifact = load_artifact(tmp_path, "default", write_artifact(tmp_path, "default", draft))
    # Events of one day are added up; those without a time or weight are none.
    assert artifact.daily.days.tolist() == [1, 2]
    assert artifact.daily.item_rows.tolist() == [3, 3]
    assert artifact.daily.counts.tolist() == [3.0, 0.5]
    np.testing.assert_array_equal(artifact.features["image"], features["image"])
    assert artifact.manifest.category_fields == ("title",)


def test_an_artifact_of_the_first_format_is_still_read(tmp_path, version):
    path = tmp_path / "default" / version / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["category_fields"]
    path.write_text(json.dumps(manifest | {"format_version": 1}))
    artifact = load_artifact(tmp_path, "default", version)
    assert (artifact.daily, artifact.features) == (None, {})
    assert artifact.manifest.category_fields == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"features": {"image": np.zeros((11, 5), np.float32)}},
        {"features": {"image": np.full((12, 5), np.nan, np.float32)}},
        {"daily": DailyCounts(*(np.array([12], t) for t in (np.int32, np.int32, np.float32)))},
        {"daily": DailyCounts(*(np.array([0], t) for t in (np.int32, np.int32, np.float32)))},
    ],
    ids=["rows", "nan", "item", "count"],
)
def test_impossible_contents_are_not_written(tmp_path, make_draft, changes):
    with pytest.raises(ArtifactCorrupt):
        write_artifact(tmp_path, "default", make_draft(**changes))


def test_extra_files_are_copied_and_verified(tmp_path, make_draft):
    report = tmp_path / "r.html"
    report.write_text("<p>")
    draft = make_draft(extra_files={"pictures/report.html": report})
    version = write_artifact(tmp_path, "default", draft)
    copied = tmp_path / "default" / version / "pictures/report.html"
    assert load_artifact(tmp_path, "default", version).folder == copied.parent.parent
    copied.write_text("<b>")
    with pytest.raises(ArtifactCorrupt, match="SHA-256"):
        load_artifact(tmp_path, "default", version)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ids=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
        min_size=1,
        max_size=5,
        unique=True,
    )
)
def test_any_unicode_id_round_trips(tmp_path_factory, make_draft, ids):
    root = tmp_path_factory.mktemp("ids")
    version = write_artifact(
        root,
        "default",
        make_draft(num_users=len(ids), num_items=len(ids) + 1, user_ids=ids),
    )
    assert list(load_artifact(root, "default", version).user_ids) == ids


def test_ids_with_slashes_newlines_and_256_bytes_round_trip(tmp_path, make_draft):
    ids = ["a/b", "line\nbreak", "é" * 128, "\x00", " ", "日本"]
    version = write_artifact(tmp_path, "default", make_draft(user_ids=ids))
    assert list(load_artifact(tmp_path, "default", version).user_ids) == ids


def test_a_half_written_folder_is_neither_listed_nor_loaded(tmp_path, version):
    (tmp_path / "default" / version / "manifest.json").unlink()
    assert list_versions(tmp_path, "default") == []
    with pytest.raises(ArtifactNotFound):
        load_artifact(tmp_path, "default", version)


def test_a_failed_write_leaves_nothing_behind(tmp_path, make_draft):
    draft = make_draft(extra_files={"report.html": tmp_path / "missing.html"})
    with pytest.raises(FileNotFoundError):
        write_artifact(tmp_path, "default", draft)
    assert list((tmp_path / "default").iterdir()) == []


def test_a_folder_left_by_a_killed_writer_is_not_listed(tmp_path, version):
    folder = tmp_path / "default"
    (folder / version).rename(folder / ".writing-0011223344556677")
    assert list_versions(tmp_path, "default") == []


def test_a_changed_byte_is_refused(tmp_path, version):
    path = tmp_path / "default" / version / "embeddings.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactCorrupt, match="SHA-256"):
        load_artifact(tmp_path, "default", version)


def test_a_truncated_file_is_refused(tmp_path, version):
    path = tmp_path / "default" / version / "ids.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ArtifactCorrupt, match="bytes, the manifest says"):
        load_artifact(tmp_path, "default", version)


def test_a_missing_file_is_refused(tmp_path, version):
    (tmp_path / "default" / version / "seen.safetensors").unlink()
    with pytest.raises(ArtifactCorrupt, match="missing"):
        load_artifact(tmp_path, "default", version)


def test_a_newer_format_is_refused_with_advice(tmp_path, version):
    edit_manifest(tmp_path / "default" / version, format_version=5, colour="new")
    with pytest.raises(ArtifactIncompatible, match="upgrade the service"):
        load_artifact(tmp_path, "default", version)


def test_an_unknown_manifest_key_is_refused(tmp_path, version):
    edit_manifest(tmp_path / "default" / version, colour="new")
    with pytest.raises(ArtifactCorrupt, match="colour"):
        load_artifact(tmp_path, "default", version)


def test_a_manifest_that_is_not_json_is_refused(tmp_path, version):
    (tmp_path / "default" / version / "manifest.json").write_text("{")
    with pytest.raises(ArtifactCorrupt, match="not JSON"):
        load_artifact(tmp_path, "default", version)


def test_a_tensor_whose_shape_contradicts_the_manifest_is_refused(tmp_path, version):
    folder = tmp_path / "default" / version
    tensors = json.loads((folder / "manifest.json").read_text())["tensors"]
    tensors["embeddings.safetensors:users"]["shape"] = [1, 4]
    edit_manifest(folder, tensors=tensors)
    with pytest.raises(ArtifactCorrupt, match="users"):
        load_artifact(tmp_path, "default", version)


def test_a_renamed_version_is_refused(tmp_path, version):
    other = "20200101T000000000000Z-00000000"
    (tmp_path / "default" / version).rename(tmp_path / "default" / other)
    with pytest.raises(ArtifactCorrupt, match="copied or renamed"):
        load_artifact(tmp_path, "default", other)


def test_a_manifest_naming_a_file_outside_its_folder_is_refused(tmp_path, version):
    folder = tmp_path / "default" / version
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files["../../secret"] = {"sha256": "0" * 64, "size_bytes": 1}
    edit_manifest(folder, files=files)
    with pytest.raises(ArtifactCorrupt, match="relative path"):
        load_artifact(tmp_path, "default", version)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"users": np.zeros((5, 4), np.float32)}, r"users has shape \(5, 4\)"),
        ({"items": np.zeros((12, 3), np.float32)}, "items has shape"),
        ({"users": np.zeros((6, 4), np.float64)}, "dtype float64"),
        ({"users": np.full((6, 4), np.nan, np.float32)}, "NaN"),
        ({"items": np.full((12, 4), np.inf, np.float32)}, "infinity"),
        ({"popularity": np.full(12, np.nan)}, "popularity holds NaN"),
        ({"user_ids": ["u"] * 6}, "5 repeated ids"),
        ({"user_ids": ["", "1", "2", "3", "4", "5"]}, "of 0 bytes"),
        ({"user_ids": ["é" * 129, "1", "2", "3", "4", "5"]}, "of 258 bytes"),
        ({"user_ids": ["\ud800", "1", "2", "3", "4", "5"]}, "not UTF-8"),
        ({"seen_indices": np.full(12, 12, np.int32)}, r"0\.\.11"),
        ({"seen_indptr": np.arange(7, dtype=np.int64)}, "must rise from 0 to 12"),
        ({"blocks": [Block("b", "learned", 1, 4, 1.0, zscore=False)]}, "starts at column 1"),
        ({"blocks": [Block("b", "factors", 0, 4, 1.0, zscore=False)]}, "no factors tensor"),
        ({"factors": {"x": np.zeros((12, 4), np.float32)}}, "unknown blocks"),
    ],
)
def test_a_draft_that_contradicts_itself_is_refused(tmp_path, make_draft, changes, message):
    with pytest.raises(ArtifactCorrupt, match=message):
        write_artifact(tmp_path, "default", make_draft(**changes))


def test_z_scored_factors_need_a_covariance(tmp_path, make_draft):
    draft = make_draft(
        blocks=[Block("b", "factors", 0, 4, 1.0, zscore=True)],
        factors={"b": np.zeros((12, 4), np.float32)},
    )
    with pytest.raises(ArtifactCorrupt, match="no covariance"):
        write_artifact(tmp_path, "default", draft)


@pytest.mark.parametrize("catalog", ["", "..", "a/b", "../x", "/etc", "a\n", "a{b}", "a" * 65])
def test_catalog_names_that_could_leave_the_root_are_refused(tmp_path, make_draft, catalog):
    with pytest.raises(ArtifactNameInvalid):
        write_artifact(tmp_path, catalog, make_draft())


@pytest.mark.parametrize("version", ["", "..", "../default", "CURRENT", "/etc/passwd"])
def test_version_names_that_could_leave_the_catalog_are_refused(tmp_path, version):
    with pytest.raises(ArtifactNameInvalid):
        load_artifact(tmp_path, "default", version)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "manifest.json", "a\\b", "./x"])
def test_extra_files_that_could_leave_the_folder_are_refused(tmp_path, make_draft, name):
    with pytest.raises(ArtifactNameInvalid):
        write_artifact(tmp_path, "default", make_draft(extra_files={name: tmp_path / "x"}))
