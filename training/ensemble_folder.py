"""A chosen ensemble on disk: how it was chosen, its vectors, its one look at the test split."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import save_file

from training.choosing import choosing
from training.config import RunConfig
from training.data.dataset import Dataset
from training.data.splits import Split, make_split
from training.ensemble import (
    Ensemble,
    EnsembleBlock,
    MemberVectors,
    Method,
    average,
    choose_weights,
    concat,
)
from training.errors import DataError, SplitLeakage
from training.evaluation import Metrics, evaluate
from training.files import replace_folder
from training.parts import Part
from training.run_folder import RunFolder
from training.runs import vector_scorer
from training.stored import load_tensors, read_record, write_json
from training.tested import RECORD, measure_once, read_tested


@dataclass(frozen=True)
class EnsembleMember:
    """A member as it is recorded: its run's settings, its weight, its validation metrics."""

    name: str
    run: RunConfig
    weight: float
    validation: dict[str, float]


@dataclass(frozen=True)
class ChosenEnsemble:
    """An ensemble read back from its folder; metrics by name, `test` None until it was opened."""

    ensemble: Ensemble
    members: tuple[EnsembleMember, ...]
    split: str
    split_seed: int
    fingerprint: str
    validation: dict[str, float]
    test: dict[str, float] | None


@dataclass(frozen=True)
class _BlockRecord:
    """A block without its tensors."""

    name: str
    offset: int
    width: int
    weight: float
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class _Record:
    """`ensemble.json`; `dataset` is the fingerprint."""

    method: Method
    split: str
    split_seed: int
    dataset: str
    members: tuple[EnsembleMember, ...]
    blocks: tuple[_BlockRecord, ...]
    validation: dict[str, float]


def build_ensemble(
    dataset: Dataset,
    runs: Sequence[RunFolder],
    folder: Path,
    *,
    method: Method = "concat",
    weights: Sequence[float] | None = None,
) -> ChosenEnsemble:
    """Combine finished runs and write the ensemble's folder; only validation is looked at.

    Args:
        dataset: The dataset that all runs were trained on.
        runs: Finished runs, in the order of `weights`.
        folder: Where the ensemble goes; one that was not tested yet is replaced.
        method: `concat` or `average`.
        weights: Weights of `concat`; None chooses them on the validation split.

    Raises:
        DataError: The runs do not fit together or to the dataset.
        SplitLeakage: The ensemble in `folder` has seen the test split already.
    """
    if (folder / RECORD).exists():
        raise SplitLeakage(
            f"the ensemble in {folder} was measured on the test split; "
            "choosing again with that knowledge needs another name"
        )
    configs = [_fitting_config(run, dataset) for run in runs]
    split = _common_split(dataset, configs)
    vectors = [_member(run) for run in runs]
    if method == "average":
        used = [1.0] * len(vectors)
        ensemble = average(vectors)
    else:
        used = list(weights) if weights is not None else _choose(vectors, split)
        if len(used) != len(vectors):
            raise DataError(f"{len(used)} weights for {len(vectors)} members")
        ensemble = concat(vectors, used)
    score = vector_scorer(ensemble.users, ensemble.items)
    validation = evaluate(score, split.validation, split.train, dataset.num_users).means
    members = tuple(
        EnsembleMember(run.path.name, config, weight, run.result().validation)
        for run, config, weight in zip(runs, configs, used, strict=True)
    )
    _write(folder, ensemble, dataset.fingerprint, configs[0], members, validation)
    return read_ensemble(folder)


def read_ensemble(folder: Path) -> ChosenEnsemble:
    """Read an ensemble.

    Raises:
        DataError: There is none, or it is damaged; the message says which command makes it.
    """
    if not (folder / "ensemble.json").exists():
        raise DataError(f"{folder} holds no ensemble; run `mutualrec ensemble` first")
    record = read_record(folder / "ensemble.json", _Record)
    covariances = [f"covariance.{number}" for number in range(len(record.blocks))]
    tensors = load_tensors(folder / "ensemble.safetensors", ("users", "items", *covariances))
    blocks = tuple(
        EnsembleBlock(
            name=block.name,
            offset=block.offset,
            width=block.width,
            weight=block.weight,
            covariance=tensors[f"covariance.{number}"],
            factors=tensors.get(f"factors.{number}"),
            parts=block.parts,
        )
        for number, block in enumerate(record.blocks)
    )
    tested = read_tested(folder)
    return ChosenEnsemble(
        ensemble=Ensemble(record.method, tensors["users"], tensors["items"], blocks),
        members=record.members,
        split=record.split,
        split_seed=record.split_seed,
        fingerprint=record.dataset,
        validation=record.validation,
        test=None if tested is None else tested.metrics,
    )


def evaluate_ensemble(dataset: Dataset, folder: Path) -> Metrics:
    """Open the test split for an ensemble: once, recorded in its `test.json`.

    Raises:
        SplitLeakage: The ensemble was tested before.
        DataError: The ensemble belongs to other data.
    """
    chosen = read_ensemble(folder)
    check_dataset(chosen, dataset, folder)
    split = make_split(dataset, chosen.split, chosen.split_seed)
    score = vector_scorer(chosen.ensemble.users, chosen.ensemble.items)
    return measure_once(split, dataset.num_users, folder, score)


def check_dataset(chosen: ChosenEnsemble, dataset: Dataset, folder: Path) -> None:
    """Refuse an ensemble that was made from other data.

    Raises:
        DataError: The fingerprints differ.
    """
    if chosen.fingerprint != dataset.fingerprint:
        raise DataError(
            f"{folder} was made from dataset {chosen.fingerprint[:12]}, "
            f"{dataset.name} is {dataset.fingerprint[:12]}; train and ensemble again"
        )


def _fitting_config(run: RunFolder, dataset: Dataset) -> RunConfig:
    fingerprint = run.fingerprint()
    if fingerprint != dataset.fingerprint:
        raise DataError(
            f"{run.path} was trained on dataset {fingerprint[:12]}, "
            f"{dataset.name} is {dataset.fingerprint[:12]}; train it again"
        )
    return run.config()


def _common_split(dataset: Dataset, configs: Sequence[RunConfig]) -> Split:
    splits = {(config.split, config.split_seed) for config in configs}
    if len(splits) != 1:
        shown = ", ".join(f"{name} (seed {seed})" for name, seed in sorted(splits)) or "no run"
        raise DataError(f"members of an ensemble need one split, got: {shown}")
    return make_split(dataset, *splits.pop())


def _member(run: RunFolder) -> MemberVectors:
    stored = run.embeddings()
    return MemberVectors(
        run.path.name,
        stored["users"],
        stored["items"],
        stored.get("factors"),
        run.result().parts,
    )


def _choose(vectors: Sequence[MemberVectors], split: Split) -> list[float]:
    """Choose weights on the validation pairs of a fixed sample of users."""
    chosen_by = choosing(split.train, split.validation)
    sampled = [MemberVectors(v.name, v.users[chosen_by.rows], v.items) for v in vectors]

    def quality(ensemble: Ensemble) -> float:
        score = vector_scorer(ensemble.users, ensemble.items)
        relevant, masked = chosen_by.relevant, chosen_by.masked
        return evaluate(score, relevant, masked, len(chosen_by.rows)).means["recall@20"]

    return choose_weights(sampled, quality)[0]


def _write(
    folder: Path,
    ensemble: Ensemble,
    fingerprint: str,
    config: RunConfig,
    members: tuple[EnsembleMember, ...],
    validation: dict[str, float],
) -> None:
    tensors = {"users": ensemble.users, "items": ensemble.items}
    for number, block in enumerate(ensemble.blocks):
        tensors[f"covariance.{number}"] = block.covariance
        if block.factors is not None:
            tensors[f"factors.{number}"] = block.factors
    record = _Record(
        method=ensemble.method,
        split=config.split,
        split_seed=config.split_seed,
        dataset=fingerprint,
        members=members,
        blocks=tuple(
            _BlockRecord(b.name, b.offset, b.width, b.weight, b.parts) for b in ensemble.blocks
        ),
        validation=validation,
    )

    def fill(target: Path) -> None:
        whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(whole, target / "ensemble.safetensors")
        write_json(target / "ensemble.json", asdict(record))

    replace_folder(folder, fill, marker="ensemble.json")
