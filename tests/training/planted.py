"""Trains models on a small demo shop, whose users choose by looks (image) and by use (text)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.inputs import ALL, Inputs, Keep, Neighbours
from models.recommender import Recommender
from training.checkpoint import Checkpoint
from training.config import TrainingConfig
from training.data.splits import Split
from training.evaluation import evaluate
from training.registry import build_model, parse_params
from training.strategies.strategy import Strategy
from training.trainer import EpochReport, Trainer

# The same for every model: a rate at which all of them settle within seconds.
COMMON = TrainingConfig(
    learning_rate=0.01, batch_size=1024, max_epochs=60, eval_every=5, patience=2, num_threads=1
)


@dataclass(frozen=True)
class Shop:
    """What a model learns from and is measured on."""

    inputs: Inputs
    split: Split


class Forgotten:
    """Where the checkpoints of a run go that is never resumed."""

    def load_checkpoint(self) -> Checkpoint | None:
        return None

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        pass

    def append_report(self, report: EpochReport) -> None:
        pass


def trained(name: str, shop: Shop, inputs: Inputs) -> Recommender:
    """Train a model on `inputs`, by default narrow and otherwise as it comes; its best epoch."""
    model = build_model(name, parse_params(name, {"embedding_dim": 32}), inputs, seed=0)
    split = shop.split
    Trainer(Strategy(model), split.train, split.validation, COMMON, 0, Forgotten()).fit()
    return model.eval()


@torch.no_grad()
def recall(
    model: Recommender, shop: Shop, keep: Keep = ALL, *, among: Tensor | None = None
) -> float:
    """Recall@20 on the validation split with only some modalities kept.

    Args:
        model: A trained model.
        shop: Where it is measured.
        keep: The modalities that are not ablated.
        among: Which items may be recommended, bool [num_items]; all by default.
    """
    vectors = model.embed(keep)
    others = torch.zeros(shop.inputs.num_items, dtype=torch.bool) if among is None else ~among

    def score(user_rows: Tensor) -> Tensor:
        return (vectors.users[user_rows] @ vectors.items.T).masked_fill(others, -torch.inf)

    split = shop.split
    metrics = evaluate(score, split.validation, split.train, shop.inputs.num_users)
    return metrics.means["recall@20"]


def uninformative(inputs: Inputs) -> Inputs:
    """Return inputs of the same form whose content tells no item from another.

    Every item has the mean features, and has itself as its only similar item.
    """
    neighbours = {}
    for modality, nearest in inputs.neighbours.items():
        itself = torch.arange(inputs.num_items)[:, None].expand_as(nearest.indices)
        similarities = torch.zeros_like(nearest.similarities)
        similarities[:, 0] = 1.0
        neighbours[modality] = Neighbours(itself.contiguous(), similarities)
    features = {m: x.mean(0).expand_as(x).contiguous() for m, x in inputs.features.items()}
    return replace(inputs, features=features, neighbours=neighbours)
