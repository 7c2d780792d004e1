"""What each fund held at the end of each quarter, and what it newly held the quarter after."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.dataset import Dataset

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Holdings:
    """Positions by quarter; rows of funds and companies are those of the dataset.

    Args:
        quarters: Last days of the quarters, ascending.
        held: bool [quarters, funds, companies].
    """

    quarters: list[dt.date]
    held: Flags

    def past(self, tested: int) -> Flags:
        """Return everything known when `tested` is predicted: the quarters before it."""
        return self.held[:tested]

    def truth(self, tested: int) -> Flags:
        """Return the companies a fund holds then and never held before, [funds, companies].

        Only funds that also reported the quarter before have any.
        """
        reported = self.held[tested - 1].any(1)
        truth: Flags = self.held[tested] & ~self.past(tested).any(0) & reported[:, None]
        return truth

    def since(self, first: dt.date, last: dt.date = dt.date.max) -> list[int]:
        """Return the numbers of the quarters from `first` to `last`."""
        return [i for i, quarter in enumerate(self.quarters) if first <= quarter <= last]

    def thirds(self, tested: int) -> dict[str, Flags]:
        """Return the reporting funds by positions in the quarter before: three equal groups."""
        sizes = self.held[tested - 1].sum(1)
        low, high = np.quantile(sizes[sizes > 0], [1 / 3, 2 / 3])
        return {
            "small_managers": (sizes > 0) & (sizes <= low),
            "middle_managers": (sizes > low) & (sizes <= high),
            "large_managers": sizes > high,
        }


def read_holdings(folder: Path, dataset: Dataset) -> Holdings:
    """Read the positions of an imported dataset."""
    positions = pl.read_parquet(folder / "funds" / "positions.parquet")
    positions = positions.filter(pl.col("change") != "closed")
    quarters = positions["quarter"].unique().sort().to_list()
    held = np.zeros((len(quarters), dataset.num_users, dataset.num_items), dtype=np.bool_)
    number = {quarter: row for row, quarter in enumerate(quarters)}
    held[
        [number[quarter] for quarter in positions["quarter"].to_list()],
        dataset.users.rows(positions["fund_id"].to_list()),
        dataset.items.rows(positions["company_id"].to_list()),
    ] = True
    return Holdings(quarters, held)
