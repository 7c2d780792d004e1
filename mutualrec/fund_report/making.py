"""From a dataset, a fund and a quarter to a page on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mutualrec.workspace import Workspace

if TYPE_CHECKING:
    from mutualrec.fund_report.case import Case
    from mutualrec.fund_report.subject import Subject
    from training.config import RunConfig
    from training.ensemble import Method


@dataclass(frozen=True)
class Source:
    """What a report learns from, and how."""

    dataset_folder: Path
    members: Sequence["RunConfig"]
    method: "Method"


@dataclass(frozen=True)
class Wanted:
    """Options of a report: how many companies, and the category that is a domain or None."""

    k: int
    domain: str | None


def find_source(
    folders: Workspace, catalog: str, dataset: Path | None, members: Sequence["RunConfig"]
) -> Source:
    """The dataset and the models of the catalog's current version, or those that are named.

    Raises:
        DataError: No dataset is named, and the catalog has no version that names one.
    """
    from service.artifact import current_version, read_manifest
    from training.errors import DataError
    from training.recipe import Recipe

    version = current_version(folders.artifacts, catalog)
    if version is None and dataset is None:
        raise DataError(
            f"catalog {catalog} has no version to take the data and the models from; name the "
            "folder that `mutualrec import sec13f` wrote with --dataset"
        )
    if version is None or (dataset is not None and members):
        assert dataset is not None
        return Source(dataset, members or default_members(), "concat")
    recipe = Recipe.of(read_manifest(folders.artifacts, catalog, version))
    if members:
        return Source(dataset or recipe.dataset_folder, members, "concat")
    return Source(dataset or recipe.dataset_folder, recipe.members, recipe.method)


def default_members() -> list["RunConfig"]:
    """What is trained where nobody says: one closed form and one graph model, a minute together."""
    from training.config import RunConfig, TrainingConfig

    return [
        RunConfig(model="itemcf", params={"rank": 128}),
        RunConfig(model="lightgcn", training=TrainingConfig(max_epochs=40, patience=4)),
    ]


def make_case(
    folders: Workspace, source: Source, subject: "Subject", wanted: Wanted, device: str
) -> "Case":
    """Train on what was known by the quarter, or take what an earlier report trained; then ask."""
    from mutualrec.fund_report.asking import read_case
    from mutualrec.progress import training_progress
    from service.artifact import load_artifact
    from service.snapshot import build_snapshot
    from training.fund_quarters import CATALOG, learn_until

    past = learn_until(
        source.dataset_folder,
        subject.quarter,
        source.members,
        folders.fund_quarters,
        method=source.method,
        cache=folders.cache,
        device=device,
        progress=training_progress,
    )
    artifact = load_artifact(past.artifacts, CATALOG, past.version)
    return read_case(build_snapshot(artifact, "cpu"), subject, wanted.k, wanted.domain)
