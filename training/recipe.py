"""How a version was made, as its manifest says, so that it can be made again from newer data."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from service.artifact import ManifestModel
from training.config import RunConfig, parse_run_config
from training.ensemble import Method
from training.errors import DataError


@dataclass(frozen=True)
class Recipe:
    """How the current version was made, read from its manifest."""

    dataset_folder: Path
    method: Method
    members: tuple[RunConfig, ...]

    @classmethod
    def of(cls, manifest: ManifestModel) -> "Recipe":
        """Read the recipe of a manifest.

        Raises:
            DataError: The version was published without one, or its data is gone.
        """
        recipe = manifest.recipe
        if not {"dataset_folder", "method", "members"} <= set(recipe):
            raise DataError(
                f"version {manifest.version} has no recipe to train again; "
                "publish one with `mutualrec publish`"
            )
        folder = Path(str(recipe["dataset_folder"]))
        if not (folder / "dataset.toml").exists():
            raise DataError(
                f"the base data of version {manifest.version} is gone: {folder}; "
                "import it there again, or publish from another dataset folder"
            )
        members = cast(list[object], recipe["members"])
        return cls(
            folder,
            cast(Method, recipe["method"]),
            tuple(parse_run_config(member) for member in members),
        )


@dataclass(frozen=True)
class LearnedFrom:
    """What a version was learned from: the end of the event log, and the base data."""

    watermark: Mapping[str, str]
    base_fingerprint: str

    @classmethod
    def of(cls, manifest: ManifestModel) -> "LearnedFrom":
        """Read it from a manifest.

        Versions of before the base data's fingerprint was recorded count as learned from other
        data, unless they were published by hand, from the base data itself.
        """
        base = manifest.recipe.get("base_fingerprint", manifest.dataset.fingerprint)
        return cls(dict(manifest.watermark), str(base))

    def key(self, champion: ManifestModel, settings: str) -> str:
        """Name of the folder of the retraining that learns from this beside `champion`.

        Args:
            champion: The current version.
            settings: What else decides what is learned from.
        """
        content = [champion.version, champion.recipe, dict(self.watermark), self.base_fingerprint]
        content.append(settings)
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
