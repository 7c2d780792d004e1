"""Rankings that need no training; each takes bool [quarters, funds, companies] of the past."""

from collections.abc import Callable

import numpy as np

from benchmarks.funds.holdings import Flags, Floats


def popularity(past: Flags) -> Floats:
    """Holders of a company now."""
    return np.tile(past[-1].sum(0).astype(np.float64), (past.shape[1], 1))


def momentum(past: Flags) -> Floats:
    """Managers that newly hold a company since the quarter before."""
    reported = past[-2].any(1)
    new = (past[-1] & ~past[-2])[reported].sum(0)
    return np.tile(new.astype(np.float64), (past.shape[1], 1))


def itemcf(past: Flags) -> Floats:
    """Holders in common with the companies held now."""
    now = past[-1].astype(np.float64)
    together = now.T @ now
    np.fill_diagonal(together, 0.0)
    scores: Floats = now @ together
    return scores


def similar_managers(past: Flags, exponent: float = 1.0) -> Floats:
    """Holdings of other managers, weighed by a power of the portfolios' cosine.

    Rare companies say more: a company counts 1 / log(2 + holders).
    """
    now = past[-1].astype(np.float64)
    weighed = now / np.log(2 + now.sum(0).clip(1))
    overlap = weighed @ now.T
    norm = np.sqrt(np.diag(overlap).clip(1e-9))
    cosine = overlap / norm[:, None] / norm
    np.fill_diagonal(cosine, 0.0)
    scores: Floats = cosine**exponent @ now
    return scores


SIMPLE: dict[str, Callable[[Flags], Floats]] = {
    "popularity": popularity,
    "momentum": momentum,
    "itemcf": itemcf,
    "similar_managers": similar_managers,
}
