"""Inverted lists answer where they pay, as well as they were asked to, and are built once."""

import json
import shutil

import numpy as np
import pytest

from service.index import FlatCpuIndex, FlatGpuIndex, TransposedIndex, choosing, index_of
from service.index.choosing import choose_index
from service.index.ivf import MEASURED_K, IvfCpuIndex, build_cells, read_cells, write_cells
from service.kept import FOLDER

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(40, 16)).astype(np.float32)
ITEMS = (CENTRES[RNG.integers(0, 40, 4000)] + 0.3 * RNG.normal(size=(4000, 16))).astype(np.float32)
USERS = (CENTRES[RNG.integers(0, 40, 200)] + 0.3 * RNG.normal(size=(200, 16))).astype(np.float32)


@pytest.fixture(scope="module")
def cells():
    return build_cells(ITEMS)


@pytest.fixture
def kept(tmp_path):
    (tmp_path / "v1").mkdir()
    return tmp_path / FOLDER / "v1"


def recall(index, k: int = 20) -> float:
    found, expected = (one.search(USERS, k)[1] for one in (index, FlatCpuIndex(ITEMS)))
    return float(np.mean([np.isin(e, f).mean() for f, e in zip(found, expected, strict=True)]))


def test_all_cells_give_the_exact_answer_with_exact_scores(cells):
    scores, rows = IvfCpuIndex(ITEMS, cells, cells.nlist).search(USERS, 10)
    expected_scores, expected_rows = FlatCpuIndex(ITEMS).search(USERS, 10)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)


def test_a_few_cells_leave_something_out_but_give_real_items_with_falling_exact_scores(cells):
    index = IvfCpuIndex(ITEMS, cells, 2)
    scores, rows = index.search(USERS, 20)
    assert 0.3 < recall(index) < 1.0
    assert (np.diff(scores, axis=1) <= 0).all()
    np.testing.assert_allclose(scores, np.einsum("nkd,nd->nk", ITEMS[rows], USERS), rtol=1e-4)


@pytest.mark.parametrize("k", [1000, 4000, 9000])
def test_who_wants_more_than_the_cells_hold_gets_it_all_the_same(cells, k):
    _, rows = IvfCpuIndex(ITEMS, cells, 1).search(USERS[:3], k)
    assert [len(set(found)) for found in rows.tolist()] == [min(k, 4000)] * 3


def test_cells_that_were_written_answer_as_those_that_were_built(cells, tmp_path):
    write_cells(cells, tmp_path / "cells")
    read = IvfCpuIndex(ITEMS, read_cells(tmp_path / "cells"), 4).search(USERS, 20)
    built = IvfCpuIndex(ITEMS, cells, 4).search(USERS, 20)
    np.testing.assert_array_equal(read[1], built[1])


def test_building_twice_gives_the_same(cells):
    again = IvfCpuIndex(ITEMS, build_cells(ITEMS), 3).search(USERS, 20)
    np.testing.assert_array_equal(again[1], IvfCpuIndex(ITEMS, cells, 3).search(USERS, 20)[1])


@pytest.mark.parametrize("wanted", [0.9, 0.99])
def test_as_much_is_found_as_was_asked_for_and_no_more_is_looked_into(kept, wanted):
    index = choose_index(ITEMS, USERS, kept, recall=wanted, always=True)
    assert isinstance(index, IvfCpuIndex)
    assert recall(index, MEASURED_K) >= wanted
    assert index.num_probes < index.num_cells / 2


def test_a_restart_and_other_workers_find_what_was_built(kept, monkeypatch):
    first = choose_index(ITEMS, USERS, kept, recall=0.99, always=True)

    def build(_):
        raise AssertionError("built again")

    monkeypatch.setattr(choosing, "build_cells", build)
    second = choose_index(ITEMS, USERS, kept, recall=0.99, always=True)
    assert second.num_probes == first.num_probes
    np.testing.assert_array_equal(second.search(USERS, 9)[1], first.search(USERS, 9)[1])


@pytest.mark.parametrize("damage", [b"", b"{", b'{"recall": 0.5}'])
@pytest.mark.parametrize("file", ["json", "cells"])
def test_what_is_damaged_or_of_other_demands_is_built_anew(kept, file, damage):
    choose_index(ITEMS, USERS, kept, recall=0.99, always=True)
    [path] = kept.parent.glob(f"*.{file}")
    path.write_bytes(damage)
    index = choose_index(ITEMS, USERS, kept, recall=0.99, always=True)
    assert recall(index) >= 0.99
    [facts] = kept.parent.glob("*.json")
    assert json.loads(facts.read_text())["recall"] == 0.99


def test_what_belongs_to_versions_that_are_gone_is_deleted(kept):
    choose_index(ITEMS, USERS, kept, recall=0.99, always=True)
    (kept.parent.parent / "v2").mkdir()
    shutil.rmtree(kept.parent.parent / "v1")
    choose_index(ITEMS, USERS, kept.with_name("v2"), recall=0.99, always=True)
    assert {path.name.partition(".")[0] for path in kept.parent.iterdir()} == {"v2"}


def test_a_place_that_cannot_be_written_costs_time_only(kept):
    kept.parent.write_text("no folder")
    assert recall(choose_index(ITEMS, USERS, kept, recall=0.99, always=True)) >= 0.99


def test_small_catalogues_stay_exact_and_nothing_is_kept_of_them(kept):
    assert isinstance(choose_index(ITEMS, USERS, kept, recall=0.99), TransposedIndex)
    assert not kept.parent.exists()


@pytest.mark.parametrize(("cells_s", "kind"), [(0.004, IvfCpuIndex), (0.006, TransposedIndex)])
def test_inverted_lists_must_be_twice_as_fast(kept, monkeypatch, cells_s, kind):
    def seconds(index, _):
        return 0.01 if isinstance(index, TransposedIndex) else cells_s

    monkeypatch.setattr(choosing, "_seconds", seconds)
    assert isinstance(choose_index(ITEMS, USERS, kept, recall=0.99), kind)


@pytest.mark.parametrize("users", [USERS, USERS[:0], np.zeros_like(USERS)])
def test_who_wants_everything_or_has_nobody_to_measure_with_gets_exact_search(kept, users):
    wanted = 1.0 if users is USERS else 0.99
    index = choose_index(ITEMS, users, kept, recall=wanted, always=True)
    assert isinstance(index, TransposedIndex)


def test_settings_choose_the_index(publish, tmp_path, make_draft):
    from service.artifact import load_artifact

    root = tmp_path / "artifacts"
    artifact = load_artifact(root, "default", publish(root, draft=make_draft()))
    kinds = {kind: type(index_of(artifact, kind, 0.9)) for kind in ("auto", "cpu", "ivf")}
    assert kinds == {"auto": FlatCpuIndex, "cpu": FlatCpuIndex, "ivf": IvfCpuIndex}


class OnlySoMany:
    """Stands for an index on a GPU: it refuses more results than GPUs have room for."""

    def __init__(self, items) -> None:
        self._index = FlatCpuIndex(items)

    def search(self, queries, k):
        assert k <= 2048
        return self._index.search(queries, k)


@pytest.mark.parametrize("k", [1, 50, 2048, 2049, 5000])
def test_a_gpu_answers_as_the_cpu_does_also_beyond_what_it_can(k):
    gpu = FlatGpuIndex(ITEMS, lambda items: (None, OnlySoMany(items)))
    for found, expected in zip(
        gpu.search(USERS, k), FlatCpuIndex(ITEMS).search(USERS, k), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
