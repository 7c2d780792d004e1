import numpy as np
import pytest

from training.data.text_vectors import text_vectors
from training.errors import DataError

BANK = "a bank that takes deposits and makes loans"
DRUG = "a drug maker that runs clinical trials of a drug"
TEXTS = [BANK, BANK + " to farmers", "loans and deposits, a bank", DRUG, DRUG + " in Ohio", DRUG]


def test_texts_about_the_same_are_close_and_others_are_not() -> None:
    vectors = text_vectors(TEXTS, width=2)

    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    close = unit @ unit.T
    assert close[:3, :3].min() > 0.9
    assert close[3:, 3:].min() > 0.9
    assert np.abs(close[:3, 3:]).max() < 0.1


def test_a_missing_text_and_one_of_unknown_words_are_missing_vectors() -> None:
    vectors = text_vectors([*TEXTS, None, "", "zyx 12"], width=2)

    assert np.isnan(vectors).all(1).tolist() == [False] * 6 + [True] * 3


def test_vectors_repeat_exactly() -> None:
    assert np.array_equal(text_vectors(TEXTS, width=2), text_vectors(TEXTS, width=2))


def test_texts_that_share_no_words_are_refused() -> None:
    with pytest.raises(DataError, match="share no words"):
        text_vectors(["alpha", "beta", None])
