import numpy as np
import pytest

from training.data.identifiers import IdMap
from training.errors import DataError


def test_rows_and_ids_are_inverse() -> None:
    ids = IdMap(("b", "a", "c"))

    assert ids.rows(["c", "b"]).tolist() == [2, 0]
    assert ids.ids(np.array([2, 0])) == ["c", "b"]


def test_rows_are_int64_even_when_empty() -> None:
    assert IdMap(("a",)).rows([]).dtype == np.int64


def test_unknown_id_is_named() -> None:
    with pytest.raises(DataError, match="1 of 2 ids are unknown, first: 'x'"):
        IdMap(("a",)).rows(["a", "x"])


def test_negative_row_does_not_count_backwards() -> None:
    with pytest.raises(DataError, match=r"row -1 lies outside 0\.\.1"):
        IdMap(("a", "b")).ids([-1])


def test_repeated_id_is_refused_with_both_rows() -> None:
    with pytest.raises(DataError, match="'a' occurs at row 0 and again at row 2"):
        IdMap(("a", "b", "a"))


def test_membership_length_and_order() -> None:
    ids = IdMap(("b", "a"))

    assert ("a" in ids, "z" in ids, len(ids), ids.ids_tuple) == (True, False, 2, ("b", "a"))


def test_equal_ids_make_equal_maps() -> None:
    assert IdMap(["a"]) == IdMap(("a",))
    assert hash(IdMap(["a"])) == hash(IdMap(("a",)))
