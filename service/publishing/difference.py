"""What one version has changed over another: metrics, data, settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from service.artifact_reader import read_manifest
from service.manifest import ManifestModel


@dataclass(frozen=True)
class Change:
    """One value that differs; None on a side that does not have it.

    ``name`` is the path to it, such as ``metrics.validation.recall@20``.
    """

    name: str
    old: JsonValue
    new: JsonValue


@dataclass(frozen=True)
class Difference:
    """Every value in which two versions differ, by kind."""

    old: str
    new: str
    metrics: tuple[Change, ...]
    data: tuple[Change, ...]
    settings: tuple[Change, ...]


def compare_versions(root: Path, catalog: str, old: str, new: str) -> Difference:
    """Compares two versions by their manifests.

    Raises:
        ArtifactNameInvalid: a name is not allowed.
        ArtifactNotFound: a version does not exist.
        ArtifactCorrupt: a manifest cannot be read.
    """
    before, after = (read_manifest(root, catalog, version) for version in (old, new))
    return Difference(
        old,
        new,
        metrics=_changes(_metrics(before), _metrics(after)),
        data=_changes(_data(before), _data(after)),
        settings=_changes(_settings(before), _settings(after)),
    )


def _metrics(manifest: ManifestModel) -> dict[str, JsonValue]:
    own = _flat("", {split: dict(values) for split, values in manifest.metrics.items()})
    members: dict[str, JsonValue] = {
        f"members.{number}-{member.model}": dict(member.metrics)
        for number, member in enumerate(manifest.members)
    }
    return {**own, **_flat("", members)}


def _data(manifest: ManifestModel) -> dict[str, JsonValue]:
    shapes = {
        name: manifest.tensors[f"embeddings.safetensors:{name}"].shape[0]
        for name in ("users", "items")
        if f"embeddings.safetensors:{name}" in manifest.tensors
    }
    interactions = manifest.tensors.get("seen.safetensors:indices")
    return {
        "dataset": manifest.dataset.name,
        "fingerprint": manifest.dataset.fingerprint,
        **{f"num_{name}": count for name, count in shapes.items()},
        "num_interactions": None if interactions is None else interactions.shape[0],
        **_flat("watermark", dict(manifest.watermark)),
    }


def _settings(manifest: ManifestModel) -> dict[str, JsonValue]:
    members: dict[str, JsonValue] = {
        f"{number}-{member.model}": {
            "weight": member.weight,
            "seed": member.seed,
            "params": member.params,
        }
        for number, member in enumerate(manifest.members)
    }
    recipe = {name: value for name, value in manifest.recipe.items() if name != "runs"}
    return {
        "ensemble": manifest.ensemble,
        "split": manifest.split,
        "commit": manifest.commit,
        **_flat("members", members),
        **_flat("recipe", recipe),
    }


def _changes(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> tuple[Change, ...]:
    names = [*old, *(name for name in new if name not in old)]
    pairs = ((name, old.get(name), new.get(name)) for name in names)
    return tuple(Change(*pair) for pair in pairs if pair[1] != pair[2])


def _flat(prefix: str, value: JsonValue) -> dict[str, JsonValue]:
    """The leaves of nested objects and lists, by their dotted paths."""
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list):
        parts = [(str(number), part) for number, part in enumerate(value)]
    else:
        return {prefix: value}
    dot = "." if prefix else ""
    return {
        name: leaf
        for key, part in parts
        for name, leaf in _flat(f"{prefix}{dot}{key}", part).items()
    }
