import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import IndexUnavailable
from service.index import DeltaIndex, build_index

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
