"""Which companies a fund newly invests in: rolling over quarters, and on random splits.

    python -m benchmarks.funds DATASET_FOLDER

Trained models' scores are kept in a cache, so an interrupted command continues. Rows go to
`benchmarks/results/funds.json`; then the tables of docs/benchmarks.md and docs/funds.md are
written anew.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.funds.calibration import Bin, calibration_error
from benchmarks.funds.holdings import read_holdings
from benchmarks.funds.learned import Laboratory
from benchmarks.funds.members import DESCRIPTION, MODALITIES, rankings
from benchmarks.funds.page import write_tables
from benchmarks.funds.random_split import ENCODERS, over_splits, random_findings
from benchmarks.funds.rolling import (
    FIRST_TESTED,
    Finding,
    by_sector,
    calibrated,
    findings,
    roll,
)
from benchmarks.rows import Row, commit, update_rows
from benchmarks.tables import write_page
from training.data.dataset import read_dataset

PARTS = ("rolling", "random")


def rolling_findings(
    folder: Path, laboratory: Laboratory, modalities: Sequence[str]
) -> list[Finding]:
    """Measure every model on every quarter since `FIRST_TESTED`."""
    dataset = laboratory.dataset
    holdings = read_holdings(folder, dataset)
    tested = holdings.since(FIRST_TESTED)
    text = DESCRIPTION in dataset.features
    if not text:
        logging.getLogger(__name__).warning(
            "no vectors of `%s`: MGNM and MICRO know the categories alone and find less than "
            "docs/funds.md says; import with `--text %s`", DESCRIPTION, DESCRIPTION,
        )  # fmt: skip
    models = rankings(laboratory, modalities, text=text)
    rolled = roll(holdings, models, tested, show=_show)
    found = findings(holdings, rolled)
    if "sector" in dataset.codes:
        found += by_sector(holdings, rolled, dataset.codes["sector"], dataset.categories["sector"])
    return found + _of_bins(calibrated(holdings, rolled))


def _of_bins(bins: Sequence[Bin]) -> list[Finding]:
    found = []
    for b in bins:
        setting = f"chance {b.low:g} to {b.high:g}"
        values = {"predicted": b.predicted, "observed": b.observed, "pairs": float(b.pairs)}
        for metric, value in values.items():
            found.append(Finding("ensemble", setting, metric, (value, value, value)))
    error = calibration_error(bins)
    return [*found, Finding("ensemble", "all", "calibration_error", (error, error, error))]


def _command(given: argparse.Namespace) -> str:
    """Return what to type for the same figures; where folders lie does not matter."""
    parts = ["python -m benchmarks.funds DATASET_FOLDER"]
    parts += [f"--part {part}" for part in given.part or ()]
    parts += [f"--modality {modality}" for modality in given.modality or ()]
    if given.encoder != "gat":
        parts.append(f"--encoder {given.encoder}")
    if given.seeds != [0]:
        parts.append("--seeds " + " ".join(map(str, given.seeds)))
    return " ".join(parts)


def _row(finding: Finding, command: str, seeds: Sequence[int]) -> Row:
    value, low, high = (round(number, 5) for number in finding.spread)
    return Row(
        benchmark="funds", dataset="sec13f", model=finding.model, setting=finding.setting,
        metric=finding.metric, value=value, low=low, high=high, seeds=seeds,
        command=command, commit=commit(),
    )  # fmt: skip


def _show(name: str) -> None:
    logging.getLogger(__name__).info("done: %s", name)


def main() -> None:
    """Measure and write the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.funds", description=__doc__)
    parser.add_argument("folder", type=Path, help="dataset folder of `mutualrec import sec13f`")
    parser.add_argument("--part", choices=PARTS, action="append", help="measure only this")
    parser.add_argument("--cache", type=Path, default=Path(".mutualrec/funds-benchmark"))
    parser.add_argument("--modality", action="append", help=f"default: {', '.join(MODALITIES)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="random parts: one each")
    parser.add_argument("--encoder", choices=ENCODERS, default="gat", help="of GNNMR, random parts")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger(__name__).setLevel(logging.INFO)
    torch.set_num_threads(1)
    dataset = read_dataset(given.folder)
    laboratories = [Laboratory(dataset, given.cache, seed) for seed in given.seeds]
    modalities = given.modality or MODALITIES
    commit()
    rows: list[Row] = []
    for part in given.part or PARTS:
        if part == "rolling":
            found = rolling_findings(given.folder, laboratories[0], modalities)
            rows += [_row(finding, _command(given), given.seeds[:1]) for finding in found]
        else:
            holdings = read_holdings(given.folder, dataset)
            found = over_splits(
                [
                    random_findings(holdings, one, modalities, _show, given.encoder)
                    for one in laboratories
                ]
            )
            rows += [_row(finding, _command(given), given.seeds) for finding in found]
    update_rows("funds", lambda: rows)
    write_page()
    write_tables()


if __name__ == "__main__":
    main()
