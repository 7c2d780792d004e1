"""Ids in a mapped file are what they were in memory, also with new ones after them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import shared_ids
from service.kept import FOLDER
from service.shared_ids import SharedIds, longer_ids, longer_rows, packed, rows_of, share

# Any characters but surrogates, which UTF-8 does not have.
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(
    ids=st.lists(texts, unique=True, max_size=30),
    added=st.lists(texts, unique=True, max_size=5),
    others=st.lists(texts, max_size=10),
)
def test_mapped_ids_answer_as_strings_in_memory_do(ids, added, others):
    added = [identifier for identifier in added if identifier not in ids]
    whole = [*ids, *added]
    shared = SharedIds(packed(ids))
    first = len(ids)
    rows = {identifier: first + number for number, identifier in enumerate(added)}
    longer, longer_by_id = longer_ids(shared, added), longer_rows(rows_of(shared), rows)
    assert [*shared] == ids
    assert [*longer] == whole
    assert len(longer) == len(longer_by_id) == len(whole)
    assert [longer[row] for row in range(len(whole))] == whole
    assert [longer[row - len(whole)] for row in range(len(whole))] == whole
    assert tuple(longer[first:]) == tuple(added)
    assert dict(longer_by_id) == {identifier: row for row, identifier in enumerate(whole)}
    for identifier in others:
        assert (identifier in longer_by_id) == (identifier in whole)
        assert (identifier in rows_of(shared)) == (identifier in ids)


@pytest.mark.parametrize("row", [2, -3])
def test_there_are_no_rows_beyond_the_ids(row):
    shared = SharedIds(packed(["a", "b"]))
    with pytest.raises(IndexError):
        shared[row]
    with pytest.raises(IndexError):
        longer_ids(shared, [])[row]


def test_ids_with_equal_hashes_are_told_apart(monkeypatch):
    monkeypatch.setattr(shared_ids, "_hash", lambda _: 7)
    rows = rows_of(SharedIds(packed(["a", "b", "c"])))
    assert [rows.get(identifier) for identifier in "abcd"] == [0, 1, 2, None]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(shared_ids, "MIN_IDS", 2)
    (tmp_path / "v1").mkdir()
    return tmp_path / FOLDER / "v1.items"


def test_a_second_worker_maps_the_file_of_the_first(kept):
    share(("a", "b"), kept)
    written = kept.stat().st_mtime_ns
    ids = share(("a", "b"), kept)
    assert isinstance(ids, SharedIds)
    assert isinstance(ids.content.base, np.memmap)
    assert kept.stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", [b"", b"x", packed(["b", "a"]).tobytes()])
def test_a_file_that_holds_anything_else_is_written_anew(kept, damage):
    kept.parent.mkdir()
    kept.write_bytes(damage)
    assert [*share(("a", "b"), kept)] == ["a", "b"]
    assert [*share(("a", "b"), kept)] == ["a", "b"]


def test_a_folder_that_cannot_be_written_costs_memory_only(kept):
    kept.parent.write_text("no folder")
    assert [*share(("a", "b"), kept)] == ["a", "b"]


def test_few_ids_stay_as_they_are(tmp_path):
    ids = ("a", "b")
    assert share(ids, tmp_path / FOLDER / "v1.items") is ids


def test_a_service_answers_from_mapped_ids_and_takes_new_items(
    start, deploy, redis_url, monkeypatch
):
    deploy()
    before = start().recommended("u1", k=5)
    monkeypatch.setattr(shared_ids, "MIN_IDS", 2)
    client = start(redis_url=redis_url)
    assert isinstance(client.state.catalogs.snapshots["default"].artifact.item_ids, SharedIds)
    assert client.recommended("u1", k=5) == before
    body = {"metadata": {"title": "New"}}
    assert client.run(client.http.put("/items/new", json=body)).status_code in (200, 201)
    assert client.get("/items/new").json()["item_id"] == "new"
    client.post("/interactions", json={"user_id": "u1", "item_id": before[0]})
    assert before[0] not in client.recommended("u1", k=5)
