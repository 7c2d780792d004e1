"""One training run from a dataset folder to a run folder."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch

from models.inputs import Embeddings, Inputs
from models.recommender import Recommender
from training.config import RunConfig, parse_run_config
from training.curves import draw_curves
from training.data.dataset import Dataset
from training.data.splits import Split, make_split
from training.errors import DataError
from training.evaluation import Metrics, Scorer
from training.files import taking
from training.inputs import build_inputs, default_modalities
from training.parts import parts_of
from training.provenance import code_commit
from training.registry import (
    build_model,
    build_strategy,
    parse_params,
    parse_strategy_params,
    strategy_class,
)
from training.run_folder import RunFolder, RunResult
from training.strategies.strategy import KnownPairs, Strategy, Teach
from training.tested import measure_once
from training.trainer import EpochReport, Trainer
from training.warm_start import WarmStart, carry_over

logger = logging.getLogger(__name__)

TEACHERS = ".teachers"
"""Folder beside a run's for the runs it learns from; no run can have this name."""

Report = Callable[[EpochReport], None]


def resolve(config: RunConfig, dataset: Dataset) -> RunConfig:
    """Fill in what a run would decide: the split's name, modalities and all parameters.

    Raises:
        UnknownModel: There is no such model.
        UnknownStrategy: There is no such strategy.
        InvalidParams: A parameter has an unknown name or a wrong value.
        DataError: The training settings cannot work; the message names the setting.
    """
    config = parse_run_config(asdict(config))
    params = asdict(parse_params(config.model, config.params))
    strategy_params = asdict(parse_strategy_params(config.strategy, config.strategy_params))
    split = config.split
    if split == "auto":
        split = "official" if dataset.interactions.labels is not None else "random_per_user"
    modalities = config.modalities
    if modalities is None:
        modalities = default_modalities(dataset)
    modalities = tuple(sorted(set(modalities)))
    resolved = replace(
        config,
        params=params,
        split=split,
        modalities=modalities,
        strategy=config.strategy.lower(),
        strategy_params=strategy_params,
    )
    if "teacher_params" in strategy_params:
        # What teachers could not start with is refused before the student's folder is made.
        differing = strategy_params["teacher_params"], strategy_params["teacher_training"]
        resolve(_teacher_config(resolved, (), *differing), dataset)
    return resolved


def train_run(
    dataset: Dataset,
    config: RunConfig,
    folder: RunFolder,
    *,
    cache: Path | None = None,
    device: str = "cpu",
    report: Report = lambda _: None,
    warm: WarmStart | None = None,
) -> RunResult:
    """Train a model and leave embeddings and result in `folder`.

    A run that was interrupted continues from its checkpoint; one that has finished is returned
    as it is. Teachers that the strategy asks for are runs of their own under `.teachers` beside
    the folder, shared by all runs there with the same settings.

    Args:
        dataset: What to learn from.
        config: The run's settings.
        folder: Its folder.
        cache: Folder of computed neighbours.
        device: Where to train.
        report: Told of every epoch.
        warm: Parameters to begin with; teachers begin anew.

    Raises:
        DataError: The folder holds another run, or settings do not fit the data.
        TrainingDiverged: A loss term is not finite.
    """
    config = resolve(config, dataset)
    if folder.finished:
        folder.start(config, dataset.fingerprint)
        return folder.result()
    torch.set_num_threads(config.training.num_threads)
    started = time.monotonic()
    split = make_split(dataset, config.split, config.split_seed)
    model = _model(dataset, split, config, cache).to(device)
    if warm is not None:
        logger.info("%s begins with %d parameters", folder, carry_over(model, warm, dataset))
    strategy = _strategy(model, split, config)
    # Everything that could be refused has been built: now something may be written.
    folder.start(config, dataset.fingerprint)
    strategy.prepare(_teaching(dataset, config, folder, cache, device, report))
    trainer = Trainer(
        strategy, split.train, split.validation, config.training, config.seed, folder, device
    )
    fitted = trainer.fit(report)
    with torch.no_grad():
        vectors = model.embed()
    result = RunResult(
        best_epoch=fitted.best_epoch,
        num_epochs=fitted.num_epochs,
        seconds=round(time.monotonic() - started, 2),
        validation=fitted.metrics.means,
        commit=code_commit() or "",
        parts=parts_of(model, vectors),
        component_weights=_weights_of(model),
    )
    with torch.no_grad():
        folder.finish(vectors, model.item_factors(), result, model.state_dict())
    if fitted.num_epochs:
        draw_curves(folder.reports(), config.training.metric, folder.path / "curves.png")
    logger.info(
        "trained model=%s %s=%.4f epoch=%d seconds=%.1f",
        config.model,
        config.training.metric,
        fitted.metrics.means[config.training.metric],
        fitted.best_epoch,
        time.monotonic() - started,
    )
    return result


def _weights_of(model: Recommender) -> tuple[float, ...]:
    weights = model.component_weights()
    return () if weights is None else tuple(weights.tolist())


def evaluate_run(dataset: Dataset, folder: RunFolder, *, cache: Path | None = None) -> Metrics:
    """Open the test split for a finished run: once, recorded in its `test.json`.

    Closed-form models are scored exactly, not by their truncated factors. A model that uses
    modalities is also measured with each of them kept alone.

    Raises:
        SplitLeakage: The run was tested before.
        DataError: The run has not finished.
    """
    config = folder.config()
    stored = folder.embeddings()
    split = make_split(dataset, config.split, config.split_seed)
    score = vector_scorer(stored["users"], stored["items"])
    channels: dict[str, Scorer] = {}
    state = folder.model_state()
    if "factors" in stored:
        score = _model(dataset, split, config, cache).scorer()
    elif state:
        model = _model(dataset, split, config, cache)
        model.load_state_dict(state)
        channels = _channels(model.eval(), stored["items"])
    return measure_once(split, dataset.num_users, folder.path, score, channels)


@torch.no_grad()
def _channels(model: Recommender, stored_items: torch.Tensor) -> dict[str, Scorer]:
    """Return the scorers with one modality kept; none for a model that uses no modality."""
    whole, blind = model.embed(), model.embed(frozenset())
    if torch.equal(whole.items, blind.items) and torch.equal(whole.users, blind.users):
        return {}
    if not torch.allclose(whole.items, stored_items, rtol=1e-2, atol=1e-4):
        logger.warning("the code no longer gives the stored vectors; no modality is kept alone")
        return {}
    alone = {m: model.embed(frozenset({m})) for m in model.modalities}
    return {m: vector_scorer(vectors.users, vectors.items) for m, vectors in alone.items()}


def vector_scorer(
    users: torch.Tensor, items: torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the scorer of given user [U, D] and item [I, D] vectors."""
    return lambda user_rows: users[user_rows] @ items.T


def _model(dataset: Dataset, split: Split, config: RunConfig, cache: Path | None) -> Recommender:
    inputs = build_inputs(dataset, split.train, config.modalities, cache=cache)
    params = parse_params(config.model, config.params)
    try:
        model = build_model(config.model, params, inputs, config.seed)
    except ValueError as error:
        # Models raise it for inputs they cannot work on, such as those without any modality.
        raise DataError(f"{config.model} cannot learn from {dataset.name}: {error}") from error
    if strategy_class(config.strategy).min_modalities and not _needs_content(config, inputs):
        raise DataError(
            f"{config.strategy} balances modalities and {config.model} uses none; "
            "choose a model that learns from content, or the strategy plain"
        )
    return model


def _needs_content(config: RunConfig, inputs: Inputs) -> bool:
    try:
        build_model(config.model, parse_params(config.model, config.params), inputs.only(()), 0)
    except ValueError:
        return True
    return False


def _strategy(model: Recommender, split: Split, config: RunConfig) -> Strategy:
    params = parse_strategy_params(config.strategy, config.strategy_params)
    pairs = KnownPairs(split.train, split.validation)
    try:
        return build_strategy(config.strategy, params, model, pairs)
    except ValueError as error:
        raise DataError(f"{config.strategy} cannot train {config.model}: {error}") from error


def teacher_folder(runs: Path, config: RunConfig, dataset: Dataset) -> RunFolder:
    """Return the folder of a teacher among the runs that it teaches.

    Args:
        runs: Folder of those runs.
        config: The teacher's resolved settings, of one modality.
        dataset: What it learns from.
    """
    content = json.dumps([asdict(config), dataset.fingerprint], sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()[:12]
    modality = "+".join(config.modalities or ())
    return RunFolder(runs / TEACHERS / f"{config.model}-{modality}-{key}")


def _teacher_config(
    config: RunConfig,
    modalities: tuple[str, ...],
    params: Mapping[str, object],
    training: Mapping[str, object],
) -> RunConfig:
    values = asdict(replace(config, strategy="plain", strategy_params={}, modalities=modalities))
    values["params"] |= params
    values["training"] |= training
    return parse_run_config(values)


def _teaching(
    dataset: Dataset,
    config: RunConfig,
    folder: RunFolder,
    cache: Path | None,
    device: str,
    report: Report,
) -> Teach:
    """Return the function that trains a teacher of one modality with the run's settings."""

    def teach(
        modality: str, params: Mapping[str, object], training: Mapping[str, object]
    ) -> Embeddings:
        alone = resolve(_teacher_config(config, (modality,), params, training), dataset)
        teacher = teacher_folder(folder.path.parent, alone, dataset)

        def show(entry: EpochReport) -> None:
            terms = {f"{modality} teacher's {name}": x for name, x in entry.terms.items()}
            report(replace(entry, terms=terms))

        with taking(teacher.path, wait=True):
            train_run(dataset, alone, teacher, cache=cache, device=device, report=show)
        stored = teacher.embeddings()
        return Embeddings(stored["users"], stored["items"])

    return teach
