from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from service.artifact import Block, load_artifact
from service.errors import InvalidParameter
from service.filters import parse_filter
from service.rules import Boost, Cap, Rules, candidates, rank
from service.similar import ItemSimilarity
from service.snapshot import Snapshot, build_snapshot

NUM_ITEMS, WIDTH = 240, 4
NOTHING = np.zeros(0, np.int64)


def snapshot_of(publish, make_draft, root, items: np.ndarray) -> Snapshot:
    rng = np.random.default_rng(0)
    metadata = {
        "position": list(range(NUM_ITEMS)),
        "genre": [["Drama", "Comedy", "War", None][row % 4] for row in range(NUM_ITEMS)],
        "tags": [
            ["even"] * (row % 2 == 0) + ["third"] * (row % 3 == 0) for row in range(NUM_ITEMS)
        ],
    }
    draft = make_draft(
        num_items=NUM_ITEMS,
        items=items.astype(np.float32),
        popularity=rng.integers(0, 50, NUM_ITEMS).astype(np.float64),
        item_metadata=pa.table(metadata),
    )
    return build_snapshot(load_artifact(root, "default", publish(root, draft=draft)), "cpu")


@pytest.fixture(scope="module")
def snapshot(publish, make_draft, tmp_path_factory) -> Snapshot:
    """Small whole vectors: inner products are exact, and equal scores common."""
    items = np.random.default_rng(0).integers(-3, 4, (NUM_ITEMS, WIDTH))
    return snapshot_of(publish, make_draft, tmp_path_factory.mktemp("ties"), items)


@pytest.fixture(scope="module")
def distinct(publish, make_draft, tmp_path_factory) -> Snapshot:
    """Large whole vectors: inner products are exact, and equal scores rare."""
    items = np.random.default_rng(0).integers(-(10**6), 10**6, (NUM_ITEMS, WIDTH))
    return snapshot_of(publish, make_draft, tmp_path_factory.mktemp("distinct"), items)


@pytest.fixture(params=["index", "scan"])
def _search(request, monkeypatch):
    """Either way of finding candidates, whatever the sizes at which each is chosen."""
    by_index = request.param == "index"
    monkeypatch.setattr(candidates, "_SCANNED_ITEMS", 0 if by_index else NUM_ITEMS)
    monkeypatch.setattr(candidates, "_SCANNED_SHARE", 0.0)
    monkeypatch.setattr(candidates, "_FETCHED_SHARE", 1.0)


queries = st.lists(st.integers(-3, 3), min_size=WIDTH, max_size=WIDTH).map(
    lambda values: np.array(values, np.float32)
)
row_sets = st.sets(st.integers(0, NUM_ITEMS - 1), max_size=30)


def rows_between(low: int, high: int):
    return parse_filter(f"position in {low}..{high}")


@pytest.mark.usefixtures("_search")
@settings(max_examples=40, deadline=None)
@given(
    query=queries,
    excluded=row_sets,
    low=st.integers(0, NUM_ITEMS),
    size=st.integers(0, NUM_ITEMS),
    k=st.integers(1, 30),
    include=st.none() | row_sets,
    boosts=st.lists(st.tuples(st.integers(0, NUM_ITEMS), st.sampled_from([-2.0, 0.5])), max_size=4),
    bury=st.none() | st.integers(0, NUM_ITEMS),
)
@pytest.mark.parametrize("known", [True, False])
def test_the_answer_under_rules_is_that_of_scoring_every_item(
    snapshot, known, query, excluded, low, size, k, include, boosts, bury
) -> None:
    rules = Rules(
        filter=rows_between(low, low + size),
        include=None if include is None else frozenset(f"i{row}" for row in include),
        boosts=tuple(Boost(rows_between(start, start + 50), weight) for start, weight in boosts),
        bury=None if bury is None else rows_between(bury, bury + 99),
    )
    answer = rank(
        snapshot, query if known else None, np.array(sorted(excluded), np.int64), k, rules
    )

    artifact = snapshot.artifact
    scores = artifact.items @ query if known else artifact.popularity
    deviation = np.float32(np.std(scores))
    boost = np.zeros(NUM_ITEMS, np.float32)
    for start, weight in boosts:
        boost[start : start + 51] += np.float32(weight)
    boosted = scores + boost * deviation
    allowed = set(range(low, min(low + size + 1, NUM_ITEMS))) - excluded
    allowed &= allowed if include is None else include
    buried = set() if bury is None else set(range(bury, bury + 100))
    order = sorted(allowed, key=lambda row: (row in buried, -boosted[row]))[:k]
    # Items of equal score may stand in any order, so places are compared by what decides them.
    assert [item.item_row in buried for item in answer] == [row in buried for row in order]
    assert [item.score for item in answer] == pytest.approx(boosted[order].tolist())
    assert len({item.item_row for item in answer}) == len(answer)
    assert {item.item_row for item in answer} <= allowed
    assert all(item.score == pytest.approx(float(boosted[item.item_row])) for item in answer)


@pytest.mark.usefixtures("_search")
@settings(max_examples=40, deadline=None)
@given(query=queries, k=st.integers(1, 60), genre=st.integers(1, 12), tag=st.integers(1, 40))
def test_caps_skip_what_a_value_has_enough_of_and_nothing_else(
    distinct, query, k, genre, tag
) -> None:
    scores = distinct.artifact.items @ query
    assume(len(set(scores.tolist())) == NUM_ITEMS)
    answer = rank(distinct, query, NOTHING, k, Rules(caps=(Cap("genre", genre), Cap("tags", tag))))

    limits = {"even": tag, "third": tag, "Drama": genre, "Comedy": genre, "War": genre}
    table = distinct.artifact.item_metadata.to_pylist()
    counts, greedy = Counter(), []
    for row in np.argsort(-scores).tolist():
        names = {table[row]["genre"], *table[row]["tags"]} - {None}
        if len(greedy) < k and all(counts[name] < limits[name] for name in names):
            counts.update(names)
            greedy.append(row)
    assert [item.item_row for item in answer] == greedy


@pytest.mark.usefixtures("_search")
@settings(max_examples=12, deadline=None)
@given(query=queries, k=st.integers(1, 30), diversity=st.sampled_from([0.2, 0.7, 1.0]))
def test_diversity_is_maximal_marginal_relevance_over_five_times_k(
    distinct, query, k, diversity
) -> None:
    items = distinct.artifact.items.astype(np.float64)
    scores = items @ query
    assume(len(set(scores.tolist())) == NUM_ITEMS)
    answer = rank(distinct, query, NOTHING, k, Rules(diversity=diversity))

    pool = np.argsort(-scores)[: max(5 * k, 100)].tolist()
    low, high = scores[pool].min(), scores[pool].max()
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    chosen: list[int] = []
    for _ in range(k):
        value = {
            row: (1 - diversity) * (scores[row] - low) / (high - low)
            - diversity * max((unit[row] @ unit[other] for other in chosen), default=0)
            for row in pool
            if row not in chosen
        }
        chosen.append(max(value, key=value.__getitem__))
    assert [item.item_row for item in answer] == chosen


def test_diversity_lowers_how_alike_the_items_of_an_answer_are(distinct) -> None:
    def alikeness(diversity: float) -> float:
        query = np.array([1, 2, -1, 1], np.float32)
        answer = rank(distinct, query, NOTHING, 10, Rules(diversity=diversity))
        vectors = distinct.similarity.unit_vectors(np.array([i.item_row for i in answer]))
        return float((vectors @ vectors.T).mean())

    assert alikeness(0.0) > alikeness(0.3) > alikeness(0.9)


def test_every_member_counts_in_similarity_by_its_weight_not_by_its_length(
    publish, make_draft, tmp_path
) -> None:
    items = np.array([[1, 0, 900, 0], [1, 0, 0, 900], [0, 2, 7, 0], [0, 0, 0, 1]], np.float32)
    blocks = [
        Block("small", "learned", 0, 2, 1.0, zscore=False),
        Block("large", "learned", 2, 2, 3.0, zscore=False),
    ]
    draft = make_draft(num_items=4, items=items, blocks=blocks, item_metadata=None)
    artifact = load_artifact(tmp_path, "default", publish(tmp_path, draft=draft))
    similarity = ItemSimilarity(artifact)
    # Items 0 and 1 agree in the block of weight 1 of 4, items 0 and 2 in that of weight 3 of 4;
    # item 3 has no vector in the first, and item 0 is orthogonal to it in the second.
    vectors = similarity.unit_vectors(np.arange(4))
    assert vectors[0] @ vectors.T == pytest.approx([1.0, 0.25, 0.75, 0.0])
    assert similarity.to_item(0, "learned") == pytest.approx([1.0, 0.25, 0.75, 0.0])


def test_a_cap_no_item_can_fill_ends(snapshot) -> None:
    query = np.ones(WIDTH, np.float32)
    only_genres = Rules(filter=parse_filter("genre is not missing"), caps=(Cap("genre", 1),))
    for rules in (only_genres, replace(only_genres, diversity=0.5)):
        assert len(rank(snapshot, query, NOTHING, 50, rules)) == 3


def test_a_cap_on_an_unknown_field_names_the_fields(snapshot) -> None:
    with pytest.raises(InvalidParameter, match="genre, position, tags"):
        rank(snapshot, None, NOTHING, 1, Rules(caps=(Cap("gerne", 1),)))


def test_items_that_the_catalog_does_not_have_are_included_and_excluded_in_vain(snapshot) -> None:
    rules = Rules(include=frozenset({"i3", "nope"}), exclude=frozenset({"never"}))
    assert [item.item_row for item in rank(snapshot, None, NOTHING, 5, rules)] == [3]
