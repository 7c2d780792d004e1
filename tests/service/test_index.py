import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import IndexUnavailable
from service.index import DeltaIndex, FlatCpuIndex, TransposedIndex, build_index
from service.index.products import best_products, in_blocks

RNG = np.random.default_rng(0)
ITEMS = RNG.normal(size=(50, 8)).astype(np.float32)
QUERY = RNG.normal(size=8).astype(np.float32)


def test_scores_are_inner_products_and_fall():
    scores, rows = build_index(ITEMS, "cpu").search(QUERY[None, :], 5)
    expected = np.argsort(-(ITEMS @ QUERY))[:5]
    np.testing.assert_array_equal(rows[0], expected)
    np.testing.assert_allclose(scores[0], (ITEMS @ QUERY)[expected], rtol=1e-5)


def test_more_than_the_catalogue_gives_the_catalogue_and_no_filler():
    _, rows = build_index(ITEMS, "cpu").search(QUERY[None, :], 1000)
    assert sorted(rows[0]) == list(range(50))


def test_few_queries_avoid_blas_and_batches_use_it():
    build_index(ITEMS, "cpu")
    assert faiss.cvar.distance_compute_blas_threshold == 6 * 8


def test_a_search_uses_one_thread():
    build_index(ITEMS, "cpu").search(QUERY[None, :], 1)
    assert faiss.omp_get_max_threads() == 1


@pytest.mark.skipif(faiss.get_num_gpus() > 0, reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_an_error_that_names_the_setting():
    with pytest.raises(IndexUnavailable, match="MUTUALREC_INDEX=cpu"):
        build_index(ITEMS, "gpu")


@pytest.mark.gpu
@pytest.mark.skipif(faiss.get_num_gpus() == 0, reason="FAISS sees no GPU")
def test_the_gpu_answers_as_the_cpu_does():
    _, on_gpu = build_index(ITEMS, "gpu").search(QUERY[None, :], 10)
    _, on_cpu = build_index(ITEMS, "cpu").search(QUERY[None, :], 10)
    np.testing.assert_array_equal(on_gpu, on_cpu)


@given(first=st.integers(1, 49), k=st.integers(1, 60))
def test_an_index_with_added_items_answers_as_one_of_all(first, k):
    whole = build_index(ITEMS, "cpu")
    delta = DeltaIndex(build_index(ITEMS[:first], "cpu"), ITEMS[first:])
    queries = np.stack([QUERY, -QUERY])
    scores, rows = delta.search(queries, k)
    expected_scores, expected_rows = whole.search(queries, k)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)
    assert delta.num_items == whole.num_items


def catalog(num_items: int, seed: int = 0) -> np.ndarray:
    """Items of small whole numbers, so that many scores are equal and none is rounded."""
    rng = np.random.default_rng(seed)
    return rng.integers(-3, 4, size=(num_items, 6)).astype(np.float32)


@given(
    num_items=st.integers(1, 300),
    num_queries=st.integers(1, 9),
    k=st.integers(1, 300),
    seed=st.integers(0, 99),
)
def test_products_give_what_sorting_all_scores_gives(num_items, num_queries, k, seed):
    items, queries, k = catalog(num_items, seed), catalog(num_queries, seed + 1), min(k, num_items)
    scores, rows = best_products(queries, in_blocks(items), num_items, k)
    expected = np.argsort(-(queries @ items.T), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(scores, np.take_along_axis(queries @ items.T, expected, 1))


@pytest.mark.parametrize("k", [1, 7, 600])
def test_items_of_several_blocks_are_searched_as_one(k):
    items, queries = catalog(40_000), catalog(5, seed=1)
    _, rows = best_products(queries, in_blocks(items), len(items), k)
    expected = np.argsort(-(queries @ items.T), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(rows, expected)


@pytest.mark.parametrize("num_queries", [1, 3, 4, 20])
@pytest.mark.parametrize("k", [1, 50, 1025, 5000])
def test_a_small_catalog_that_is_kept_twice_answers_as_one_that_is_not(num_queries, k):
    rng = np.random.default_rng(2)
    items = rng.normal(size=(2500, 8)).astype(np.float32)
    queries = rng.normal(size=(num_queries, 8)).astype(np.float32)
    index = build_index(items, "cpu")
    assert isinstance(index, TransposedIndex)
    scores, rows = index.search(queries, k)
    expected_scores, expected_rows = FlatCpuIndex(items).search(queries, k)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1999, 8), (200_000, 24)], ids=["tiny", "large"])
def test_only_a_small_catalog_is_kept_twice(shape):
    assert isinstance(build_index(np.zeros(shape, np.float32), "cpu"), FlatCpuIndex)
