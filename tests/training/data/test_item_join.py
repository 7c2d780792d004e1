import numpy as np
import pytest

from training.data.dataset import DatasetDraft
from training.data.item_join import join_items
from training.data.item_states import ItemState


def test_vectors_and_metadata_go_to_their_items_alone(draft: DatasetDraft) -> None:
    states = [
        ItemState("rug", {"category": "floor", "price": 5}, {"image": [0.0, 2.0]}),
        ItemState("unknown", {"price": 1.0}, {"image": [1.0, 1.0]}),
    ]
    joined = join_items(draft, states)
    np.testing.assert_array_equal(joined.features["image"], [[1, 0], [0, 1], [0, 2], [1, 1]])
    assert joined.items["category"].to_list() == ["light", "seat", "floor", "art"]
    assert joined.items["price"].to_list() == [10.0, 20.0, 5.0, 40.0]
    assert joined.items.schema == draft.items.schema
    assert np.isnan(draft.features["image"][2]).all()


def test_neighbours_of_an_item_with_a_new_vector_are_found_anew(draft: DatasetDraft) -> None:
    joined = join_items(draft, [ItemState("vase", {}, {"image": [0.0, 3.0]})])
    assert joined.neighbours["image"].indices.tolist() == [[0], [1], [2], [1]]
    assert joined.neighbours["image"].similarities[3].tolist() == [1.0]


def test_null_empties_a_field(draft: DatasetDraft) -> None:
    joined = join_items(draft, [ItemState("lamp", {"price": None})])
    assert joined.items["price"].to_list() == [None, 20.0, 30.0, 40.0]


@pytest.mark.parametrize(
    "state",
    [
        ItemState("lamp", {"price": "dear"}, {"image": [1.0]}),
        ItemState("lamp", {"colour": "red"}, {"image": [1.0, float("inf")], "sound": [1.0]}),
        ItemState("lamp", {"price": [1]}, {"image": [1.0, 1e300]}),
    ],
)
def test_what_fits_no_column_and_no_matrix_is_left_out(
    draft: DatasetDraft, state: ItemState
) -> None:
    joined = join_items(draft, [state])
    assert joined.items.equals(draft.items)
    np.testing.assert_array_equal(joined.features["image"], draft.features["image"])
