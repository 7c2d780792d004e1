"""Models of the project trained on the holdings of past quarters."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from models.inputs import Embeddings, Inputs, Modality, Neighbours
from models.recommender import Recommender
from training.checkpoint import Checkpoint
from training.config import TrainingConfig
from training.data.dataset import Dataset
from training.data.splits import Pairs
from training.files import replacing
from training.inputs import build_inputs
from training.registry import build_model, parse_params
from training.strategies.strategy import Strategy
from training.trainer import EpochReport, Trainer

Scores = NDArray[np.float32]
VERSION = "1"


@dataclass(frozen=True)
class Learned:
    """A model and how it is trained.

    Tested on later quarters it trains for all its epochs: stopping early would need positions
    that are newer than those it learns from.

    Args:
        model: Registry name.
        params: Its parameters; those left out have their defaults.
        epochs: Passes over the positions.
        training: Training settings that differ from a step of 0.01 over all positions at once.
        modalities: What it may know of the companies.
        shuffled: Give every company the attributes of another one: a control.
    """

    model: str
    params: Mapping[str, object] = field(default_factory=dict)
    epochs: int = 1
    training: Mapping[str, object] = field(default_factory=dict)
    modalities: tuple[str, ...] = ()
    shuffled: bool = False


class Nowhere:
    """Storage of a run that takes seconds and is not resumed."""

    def load_checkpoint(self) -> Checkpoint | None:
        """There is none."""
        return None

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Forget it."""

    def append_report(self, report: EpochReport) -> None:
        """Forget it."""


class Laboratory:
    """Trains models on past quarters and keeps their scores in files.

    Args:
        dataset: Funds, companies and what is known of them.
        cache: Folder of the scores.
        seed: Seed of initial values, sampling and shuffling.
    """

    def __init__(self, dataset: Dataset, cache: Path, seed: int = 0) -> None:
        self.dataset = dataset
        self.cache = cache
        self.seed = seed
        self._contents: dict[tuple[str, ...], Inputs] = {}

    def scores(
        self,
        learned: Learned,
        known: Pairs,
        validation: Pairs | None = None,
        network: Modality | None = None,
    ) -> Scores:
        """Return the scores [funds, companies] of a model, from its file if there is one.

        Args:
            learned: What is trained.
            known: Pairs of a fund and a company to learn from.
            validation: Pairs on which the epoch is chosen; None trains for all epochs.
            network: The modality whose network alone scores, all of them having been trained.
        """
        content = [VERSION, self.dataset.fingerprint, self.seed, asdict(learned)]
        key = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        for part in (known, validation or _nothing(known)):
            key.update(np.stack([part.user_rows, part.item_rows]).tobytes())
        name = f"{learned.model}-{key.hexdigest()[:24]}"
        wanted = self._file(name, network)
        if not wanted.exists():
            model = self._trained(learned, known, validation)
            self.cache.mkdir(parents=True, exist_ok=True)
            self._store(self._file(name, None), model.embed())
            for modality in () if network is None else learned.modalities:
                self._store(self._file(name, modality), model.embed(frozenset({modality})))
        stored: Scores = np.load(wanted, allow_pickle=False)
        return stored

    def _file(self, name: str, network: Modality | None) -> Path:
        return self.cache / (f"{name}.npy" if network is None else f"{name}-{network}.npy")

    @staticmethod
    def _store(path: Path, vectors: Embeddings) -> None:
        with replacing(path) as draft, draft.open("wb") as file:
            scores = (vectors.users @ vectors.items.T).detach().numpy()
            np.save(file, scores, allow_pickle=False)

    def _trained(self, learned: Learned, known: Pairs, validation: Pairs | None) -> Recommender:
        inputs = self._inputs(learned, known)
        params = parse_params(learned.model, learned.params)
        model = build_model(learned.model, params, inputs, self.seed)
        settings = {
            "learning_rate": 1e-2,
            "batch_size": len(known),
            "max_epochs": learned.epochs,
            "eval_every": learned.epochs if validation is None else 10,
            "patience": 5,
            "num_threads": 1,
        }
        config = TypeAdapter(TrainingConfig).validate_python({**settings, **learned.training})
        watched = validation or _nothing(known)
        Trainer(Strategy(model), known, watched, config, self.seed, Nowhere()).fit()
        return model.eval()

    def _inputs(self, learned: Learned, known: Pairs) -> Inputs:
        if learned.modalities not in self._contents:
            found = build_inputs(self.dataset, _nothing(known), learned.modalities)
            self._contents[learned.modalities] = found
        content = self._contents[learned.modalities]
        if learned.shuffled:
            content = _shuffled(content, self.seed)
        edges = np.stack([known.user_rows, known.item_rows])
        return replace(content, edge_index=torch.from_numpy(edges))


def _shuffled(inputs: Inputs, seed: int) -> Inputs:
    """Deal the companies' attributes out anew, each company's staying together."""
    order = torch.randperm(inputs.num_items, generator=torch.Generator().manual_seed(seed))
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    return replace(
        inputs,
        features={m: dense[order] for m, dense in inputs.features.items()},
        categories={m: replace(c, codes=c.codes[order]) for m, c in inputs.categories.items()},
        neighbours={
            m: Neighbours(place[n.indices[order]], n.similarities[order])
            for m, n in inputs.neighbours.items()
        },
    )


def _nothing(pairs: Pairs) -> Pairs:
    return Pairs(pairs.user_rows[:0], pairs.item_rows[:0])
