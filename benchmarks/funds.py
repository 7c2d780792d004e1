"""Which companies a fund newly invests in next quarter: rolling over quarters, on imported filings.

    python -m benchmarks.funds DATASET_FOLDER

For every tested quarter, scores come from the quarters before it. Truth are the companies a manager
holds then and never held before; managers count that report in both quarters and have such a
position. The exponent of `similar_managers` is chosen for each tested quarter on the quarter before
it, never on the tested one.
"""

import argparse
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.rows import Row, commit, update_rows

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
CUTS = (10, 20, 50)
EXPONENTS = (1.0, 2.0, 3.0, 4.0)
FIRST_TESTED = dt.date(2023, 9, 30)
SMALL_SHARE = 1 / 3


@dataclass(frozen=True)
class Holdings:
    """What each fund held at the end of each quarter: bool [quarters, funds, companies]."""

    quarters: list[dt.date]
    held: Flags


def read_holdings(folder: Path) -> Holdings:
    """Read the positions of an imported dataset."""
    positions = pl.read_parquet(folder / "funds" / "positions.parquet")
    positions = positions.filter(pl.col("change") != "closed")
    ranks = positions.select(
        pl.col("quarter", "fund_id", "company_id").rank("dense").cast(pl.Int64) - 1
    ).to_numpy()
    held = np.zeros(ranks.max(0) + 1, dtype=np.bool_)
    held[tuple(ranks.T)] = True
    return Holdings(positions["quarter"].unique().sort().to_list(), held)


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


def similar_managers(past: Flags, exponent: float) -> Floats:
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


BASELINES: dict[str, Callable[[Flags], Floats]] = {
    "popularity": popularity,
    "momentum": momentum,
    "itemcf": itemcf,
}


def measure(holdings: Holdings, tested: int, scores: Floats) -> dict[str, Floats]:
    """Metrics [funds] of one quarter by name; NaN for managers that do not count."""
    ever = holdings.held[:tested].any(0)
    truth = holdings.held[tested] & ~ever
    counts = truth.sum(1)
    counted = holdings.held[tested - 1].any(1) & (counts > 0)
    order = np.argsort(np.where(ever, np.inf, -scores), axis=1, kind="stable")
    hits = np.take_along_axis(truth, order[:, : max(CUTS)], axis=1)
    discounts = 1 / np.log2(np.arange(max(CUTS)) + 2)
    found: dict[str, Floats] = {}
    for cut in CUTS:
        ideal = np.cumsum(discounts)[np.minimum(counts, cut).clip(1) - 1]
        recall = hits[:, :cut].sum(1) / counts.clip(1)
        top = hits[:, :cut]
        ndcg = top @ discounts[: top.shape[1]] / ideal
        found[f"recall@{cut}"] = np.where(counted, recall, np.nan)
        found[f"ndcg@{cut}"] = np.where(counted, ndcg, np.nan)
    return found


def roll(holdings: Holdings, tested: list[int]) -> dict[str, list[dict[str, Floats]]]:
    """Metrics of every model in every tested quarter."""
    results: dict[str, list[dict[str, Floats]]] = {name: [] for name in BASELINES}
    results["similar_managers"] = []
    for quarter in tested:
        for name, model in BASELINES.items():
            results[name].append(measure(holdings, quarter, model(holdings.held[:quarter])))
        exponent = max(EXPONENTS, key=lambda e: _validation(holdings, quarter - 1, e))
        scores = similar_managers(holdings.held[:quarter], exponent)
        results["similar_managers"].append(measure(holdings, quarter, scores))
    return results


def _validation(holdings: Holdings, quarter: int, exponent: float) -> float:
    scores = similar_managers(holdings.held[:quarter], exponent)
    return float(np.nanmean(measure(holdings, quarter, scores)["ndcg@20"]))


def summary(values: Floats, rng: np.random.Generator) -> tuple[float, float, float]:
    """Mean over quarters of the mean over managers, with a 95 % bootstrap over managers."""
    mean = float(np.nanmean(values, axis=1).mean())
    funds = values.shape[1]
    draws = [
        np.nanmean(values[:, rng.integers(funds, size=funds)], axis=1).mean() for _ in range(500)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    return mean, float(low), float(high)


def small_managers(holdings: Holdings, quarter: int) -> Flags:
    """The third of the reporting managers with the fewest positions in the quarter before."""
    sizes = holdings.held[quarter - 1].sum(1)
    limit = np.quantile(sizes[sizes > 0], SMALL_SHARE)
    return np.asarray((sizes > 0) & (sizes <= limit), dtype=np.bool_)


def rows(folder: Path) -> list[Row]:
    """Every row of the table."""
    holdings = read_holdings(folder)
    tested = [i for i, quarter in enumerate(holdings.quarters) if quarter >= FIRST_TESTED]
    groups = {
        "all": np.ones((len(tested), holdings.held.shape[1]), dtype=np.bool_),
        "small_managers": np.stack([small_managers(holdings, quarter) for quarter in tested]),
    }
    made = []
    for model, quarters in roll(holdings, tested).items():
        for setting, members in groups.items():
            for metric in quarters[0]:
                values = np.where(members, np.stack([q[metric] for q in quarters]), np.nan)
                value, low, high = summary(values, np.random.default_rng(0))
                made.append((model, setting, metric, value, low, high))
    return [
        Row(
            benchmark="funds", dataset="sec13f", model=model, setting=setting, metric=metric,
            value=value, low=low, high=high, seeds=(0,),
            command="python -m benchmarks.funds DATASET_FOLDER", commit=commit(),
        )
        for model, setting, metric, value, low, high in made
    ]  # fmt: skip


def main() -> None:
    """Measure and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="dataset folder of `mutualrec import sec13f`")
    folder = parser.parse_args().folder
    update_rows("funds", lambda: rows(folder))


if __name__ == "__main__":
    main()
