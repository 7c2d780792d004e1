import pytest

from service.experiments.ids import Origin, new_id, origin_of


@pytest.mark.parametrize(
    "text", ["", "x" * 32, "0" * 32, "e1", "ü" * 32, "5d2c8c54a1f14b6f8a3f0c6c1f9a2b7e"]
)
def test_ids_that_are_not_ours_come_from_nowhere(text):
    assert origin_of(text) is None


def test_ids_with_spaces_among_their_digits_come_from_nowhere():
    assert {origin_of("00 " * 10 + f"{last:02x}") for last in range(256)} == {None}


def test_an_id_says_where_it_comes_from():
    origin = Origin(1_769_860_800, 65_535, 15)
    text = new_id(origin)
    assert (len(text), origin_of(text), origin.day) == (32, origin, "2026-01-31")
    assert len({new_id(origin) for _ in range(1000)}) == 1000
