import datetime as dt

import numpy as np
import pytest

from benchmarks.funds import Holdings, itemcf, measure, momentum, similar_managers

# Three funds, four companies: the first fund newly takes company 2, which its twin holds.
THEN = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]], dtype=np.bool_)
NOW = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]], dtype=np.bool_)
NEXT = np.array([[1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]], dtype=np.bool_)
HELD = np.stack([THEN, NOW, NEXT])
QUARTERS = [dt.date(2024, 3, 31), dt.date(2024, 6, 30), dt.date(2024, 9, 30)]


def test_only_companies_never_held_before_count_and_only_their_managers() -> None:
    scores = np.tile(np.array([9.0, 9.0, 1.0, 2.0]), (3, 1))

    found = measure(Holdings(QUARTERS, HELD), 2, scores)

    # Companies 0 and 1 are held, so company 3 is first and the hit second: 1 / log2(3).
    assert found["recall@10"][0] == 1.0
    assert found["ndcg@10"][0] == pytest.approx(1 / np.log2(3))
    assert np.isnan(found["recall@10"][1:]).all()


def test_scores_come_from_the_past_alone() -> None:
    assert momentum(HELD[:2])[0].tolist() == [0, 0, 1, 0]
    assert itemcf(HELD[:2])[0].tolist() == [2, 2, 2, 0]
    assert similar_managers(HELD[:2], 2.0)[0].argmax() in (0, 1, 2)
    assert similar_managers(HELD[:2], 2.0)[0][3] == 0
