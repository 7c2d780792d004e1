"""One more new item costs as much as the first, and versions in use do not change under anyone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.item_change import ItemChange
from service.items.growing import GrowingMatrix, Remembered

BASE = np.arange(6, dtype=np.float32).reshape(3, 2)


def row_of(owner: int) -> np.ndarray | None:
    """Every owner has one row; some have none, which is zeros."""
    return None if owner % 5 == 0 else np.array([owner, -owner], np.float32)


def expected(owners: list[int]) -> np.ndarray:
    rows = [row_of(owner) for owner in owners]
    added = [np.zeros(2, np.float32) if row is None else row for row in rows]
    return np.array([*BASE, *added], np.float32)


@given(st.lists(st.lists(st.integers(0, 200), unique=True, max_size=40), max_size=8))
def test_a_matrix_has_the_rows_it_was_given_last_and_older_views_keep_theirs(states):
    matrix = GrowingMatrix(BASE)
    views = [(matrix.with_rows(owners, [*map(row_of, owners)]), owners) for owners in states]
    for view, owners in views:
        np.testing.assert_array_equal(view, expected(owners))


@given(st.integers(1, 700))
def test_rows_that_come_one_by_one_are_all_there(count):
    matrix = GrowingMatrix(BASE)
    owners = list(range(count))
    for number in range(0, count, 50):
        matrix.with_rows(owners[:number], [*map(row_of, owners[:number])])
    np.testing.assert_array_equal(
        matrix.with_rows(owners, [*map(row_of, owners)]), expected(owners)
    )


def test_adding_one_row_does_not_copy_the_others():
    matrix = GrowingMatrix(BASE)
    before = matrix.with_rows([1], [row_of(1)])
    after = matrix.with_rows([1, 2], [row_of(1), row_of(2)])
    assert np.shares_memory(before, after)
    assert not after.flags.writeable


def test_nothing_added_is_the_matrix_itself():
    assert GrowingMatrix(BASE).with_rows([], []) is BASE


def test_what_was_computed_for_a_change_is_computed_once_and_anew_for_a_later_change():
    asked: list[tuple[str, int]] = []

    def compute(change: ItemChange) -> str:
        asked.append((change.item_id, change.number))
        return f"{change.item_id}{change.number}"

    first, second, later = (ItemChange("a", 1), ItemChange("b", 1), ItemChange("a", 2))
    remembered: Remembered[str] = Remembered()
    assert remembered.all([first], compute) == ["a1"]
    assert remembered.all([first, second], compute) == ["a1", "b1"]
    assert remembered.all([later, second], compute) == ["a2", "b1"]
    assert asked == [("a", 1), ("b", 1), ("a", 2)]


def test_what_was_deleted_is_forgotten():
    asked: list[str] = []
    change = ItemChange("a", 1)
    remembered: Remembered[None] = Remembered()
    for changes in ([change], [], [change]):
        remembered.all(changes, lambda one: asked.append(one.item_id))
    assert asked == ["a", "a"]
