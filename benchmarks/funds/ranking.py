"""Recall and NDCG of the companies a fund newly holds, per fund."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.funds.holdings import Floats, Holdings

Rows = NDArray[np.int64]
CUTS = (10, 20, 50)
METRICS = tuple(f"{name}@{cut}" for cut in CUTS for name in ("recall", "ndcg"))


def ranked(holdings: Holdings, tested: int, scores: Floats, funds: Rows) -> Rows:
    """Rank the companies that each of some funds never held.

    Args:
        holdings: All positions.
        tested: Number of the quarter to predict.
        scores: [funds, companies], from the quarters before; among equals the first comes first.
        funds: Rows of the funds.

    Returns:
        The first 50 companies, int64 [len(funds), 50].
    """
    ever = holdings.past(tested)[:, funds].any(0)
    order = np.argsort(np.where(ever, np.inf, -scores[funds]), axis=1, kind="stable")
    return order[:, : max(CUTS)]


def measure(holdings: Holdings, tested: int, scores: Floats) -> dict[str, Floats]:
    """Return the metrics [funds] of a quarter by name.

    Recall@k is the share of the newly held companies among the first k, NDCG@k as in
    `training.evaluation`. NaN for funds that newly hold nothing or did not report before.
    """
    truth = holdings.truth(tested)
    funds = np.flatnonzero(truth.any(1))
    order = ranked(holdings, tested, scores, funds)
    hits = np.take_along_axis(truth[funds], order, axis=1)
    counts = truth[funds].sum(1)
    discounts = 1 / np.log2(np.arange(max(CUTS)) + 2)
    found: dict[str, Floats] = {}
    for cut in CUTS:
        top = hits[:, :cut]
        ideal = np.cumsum(discounts)[np.minimum(counts, cut) - 1]
        gained = top @ discounts[: top.shape[1]] / ideal
        for name, values in (("recall", top.sum(1) / counts), ("ndcg", gained)):
            found[f"{name}@{cut}"] = np.full(len(truth), np.nan)
            found[f"{name}@{cut}"][funds] = values
    return found
