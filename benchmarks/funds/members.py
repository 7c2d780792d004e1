"""The rankings that are compared and put together.

All parameters were set on quarters up to 2023Q3, which are never tested.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from benchmarks.funds.holdings import Flags, Floats
from benchmarks.funds.learned import Laboratory, Learned
from benchmarks.funds.simple import itemcf, momentum, popularity, similar_managers
from training.data.pairs import Pairs

Ranking = Callable[[Flags], Floats]
MODALITIES = ("country", "industry", "sector", "state")
"""What hardly changes. The companies' table is of one day after the tests: what depends on the
day, such as the class of market value or membership of an index, would tell of the future."""
DESCRIPTION = "description"
"""Text vectors that `mutualrec import sec13f --text description` makes; without them MGNM and
MICRO have the categories alone."""
BASELINES = ("popularity", "momentum", "itemcf", "lightgcn")
"""What the ensemble has to beat."""
COLLABORATIVE = (
    "popularity", "momentum", "itemcf_tuned", "similar_managers", "ease", "lightgcn",
)  # fmt: skip
CATEGORICAL = ("gnnmr", "mgnm", "micro")
ENSEMBLES: dict[str, tuple[str, ...]] = {
    "ensemble": (*COLLABORATIVE, *CATEGORICAL),
    "ensemble_without_categories": COLLABORATIVE,
    "ensemble_shuffled_categories": (*COLLABORATIVE, "gnnmr_shuffled"),
}
"""Members of the ensembles, whose weights follow earlier quarters; in the shuffled one every
company has the attributes of another."""
FIXED: dict[str, tuple[str, ...]] = {
    "ensemble_fixed": ("itemcf_tuned", "similar_managers", "gnnmr")
}
"""Ensembles of equal weights; the members were chosen on quarters up to 2023Q3."""


def learned_models(modalities: Sequence[str], *, text: bool = False) -> dict[str, Learned]:
    """Return the trained models by name.

    Args:
        modalities: Categorical columns that they may know.
        text: Whether the companies' descriptions have vectors.
    """
    given = tuple(sorted(modalities))
    described = (*given, DESCRIPTION) if text else given
    # With a hundred funds, item IDs and propagation repeat what ItemCF knows; without both, each
    # network learns which values of its column a fund prefers, which ItemCF does not know.
    gnnmr = {"embedding_dim": 32, "item_ids": "none", "num_layers": 0}
    mgnm = {
        "embedding_dim": 32,
        "purifier_factor": 1,
        "contrast_samples": 128,
        "ddr_rows": 256,
        "feature_ddr_weight": 0.0,
    }
    micro = {"embedding_dim": 32, "contrast_samples": 256}
    categories = Learned("gnnmr", gnnmr, 60, {"learning_rate": 0.02}, given)
    tuned = {"input_exponent": 0.3, "output_exponent": 0.0, "user_exponent": 1.0}
    return {
        "itemcf_tuned": Learned("itemcf", tuned),
        "ease": Learned("ease", {"reg_weight": 200.0}),
        "lightgcn": Learned("lightgcn", {}, 60, {"learning_rate": 0.05}),
        "gnnmr": categories,
        "gnnmr_shuffled": replace(categories, shuffled=True),
        "micro": Learned("micro", micro, 60, {"learning_rate": 0.05}, described),
        "mgnm": Learned("mgnm", mgnm, 30, {"learning_rate": 0.05}, described),
    }


def rankings(
    laboratory: Laboratory, modalities: Sequence[str], *, text: bool = False
) -> dict[str, Ranking]:
    """Return every ranking but the ensembles, by name; each sees only the past."""
    simple: dict[str, Ranking] = {
        "popularity": popularity,
        "momentum": momentum,
        "itemcf": itemcf,
        "similar_managers": similar_managers,
    }
    trained: dict[str, Ranking] = {
        name: partial(_scores, laboratory, model)
        for name, model in learned_models(modalities, text=text).items()
    }
    return {**simple, **trained}


def _scores(laboratory: Laboratory, model: Learned, past: Flags) -> Floats:
    known = Pairs.of(*np.nonzero(past[-1]))
    return laboratory.scores(model, known).astype(np.float64)
