"""GNNMR on random 8:1:1 splits, the protocol of its paper: what modalities and teaching add."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import t

from benchmarks.funds.bootstrap import Sample
from benchmarks.funds.holdings import Floats, Holdings
from benchmarks.funds.learned import Laboratory, Learned
from benchmarks.funds.rolling import Finding
from training.data.pairs import Pairs
from training.evaluation import evaluate

SETTING = "random 8:1:1"
METRICS = ("recall@10", "ndcg@10", "recall@20", "ndcg@20", "recall@50", "ndcg@50")
TRAIN_SHARE, TEST_SHARE = 0.8, 0.1
# Recall@20 of a hundred funds is noise from one epoch to the next; this is steadier.
SHARED: Mapping[str, object] = {"learning_rate": 0.05, "metric": "ndcg@50", "patience": 80}
ENCODERS: Mapping[str, Learned] = {
    "gat": Learned("gnnmr", {"scaled": True}, 80, SHARED),
    "lightgcn": Learned("gnnmr", {"encoder": "lightgcn"}, 50, {**SHARED, "num_negatives": 4}),
}
"""Settings were chosen on validation parts of seeds 100 to 111, which are never measured."""


def variants(modalities: Sequence[str], encoder: str = "gat") -> dict[str, Learned]:
    """Return GNNMR with all modalities, without mutual learning, and with each modality alone."""
    given = ENCODERS[encoder]
    params = {**given.params, "embedding_dim": 32, "mutual_weight": 0.3}
    whole = replace(given, params=params, modalities=tuple(sorted(modalities)))
    untaught = replace(whole, params={**params, "mutual_weight": 0.0})
    alone = {f"only {m}": replace(whole, modalities=(m,)) for m in sorted(modalities)}
    return {"all": whole, "without mutual learning": untaught, **alone}


def random_findings(
    holdings: Holdings,
    laboratory: Laboratory,
    modalities: Sequence[str],
    show: Callable[[str], None] = lambda _: None,
    encoder: str = "gat",
) -> list[Finding]:
    """Train every variant, its epoch chosen on validation, and measure it on the test part.

    Besides, the whole model is compared, fund by fund, with the model without mutual learning,
    with the single modality that is best on the test part, which favours the latter, and with
    the one that is best on validation, as who has to choose one beforehand would; and its
    networks, each by itself, with the same networks trained alone (Table 5 of the paper).
    """
    setting = f"{SETTING}, {len(modalities)} modalities"
    if encoder != "gat":
        setting += f" by {encoder}"
    train, validation, test = random_parts(holdings, np.random.default_rng(laboratory.seed))
    measured: dict[str, dict[str, Floats]] = {}
    validated: dict[str, dict[str, float]] = {}
    models = variants(modalities, encoder)
    asked: list[tuple[str, Learned, str | None]] = [
        (f"the network of {m}", models["all"], m) for m in models["all"].modalities
    ]
    asked += [(name, learned, None) for name, learned in models.items()]
    for name, learned, network in asked:
        scores = torch.from_numpy(laboratory.scores(learned, train, validation, network))
        validated[name] = evaluate(scores.__getitem__, validation, train, len(scores)).means
        metrics = evaluate(scores.__getitem__, test, train, len(scores))
        measured[name] = {m: metrics.per_user[m][None] for m in METRICS}
        show(f"{setting}, seed {laboratory.seed}, {name}")
    sample = Sample(np.ones_like(measured["all"]["recall@10"], dtype=np.bool_))
    found = [
        Finding("gnnmr", f"{setting}, {name}", metric, sample.spread(figures[metric]))
        for name, figures in measured.items()
        for metric in METRICS
    ]
    for metric in ("recall@20", "ndcg@20"):
        alone = [name for name in measured if name.startswith("only ")]
        others = {
            "the best single one": max(alone, key=lambda name: sample.mean(measured[name][metric])),
            "the single one best on validation": max(
                alone, key=lambda name: validated[name][metric]
            ),
            "no mutual learning": "without mutual learning",
        }
        found += [
            Finding(
                "gnnmr",
                f"{setting}, all over {label}",
                f"{metric}_lift_percent",
                sample.lift(measured["all"][metric], measured[other][metric]),
            )
            for label, other in others.items()
        ]
        taught = np.mean([measured[name][metric] for name, _, m in asked if m], axis=0)
        untaught = np.mean([measured[name][metric] for name in alone], axis=0)
        lift = sample.lift(taught, untaught)
        label = f"{setting}, its networks over the same trained alone"
        found.append(Finding("gnnmr", label, f"{metric}_lift_percent", lift))
    return found


def over_splits(of_splits: Sequence[Sequence[Finding]]) -> list[Finding]:
    """Return the mean of every figure over several splits, with its 95 % interval.

    Splits of the same pairs share most of what is learned from, so figures of different splits
    are not independent: the variance of their mean is that of Nadeau and Bengio 2003,
    (1 / splits + size of test / size of train) of the variance of a figure, with Student's t.
    Changes are compared within each split first. Figures of a single split keep their interval.
    """
    if len(of_splits) == 1:
        return list(of_splits[0])
    splits = len(of_splits)
    width = float(t.ppf(0.975, splits - 1)) * math.sqrt(1 / splits + TEST_SHARE / TRAIN_SHARE)
    found = []
    for same in zip(*of_splits, strict=True):
        values = [finding.spread[0] for finding in same]
        mean, half = float(np.mean(values)), width * float(np.std(values, ddof=1))
        found.append(replace(same[0], spread=(mean, mean - half, mean + half)))
    return found


def random_parts(holdings: Holdings, rng: np.random.Generator) -> tuple[Pairs, Pairs, Pairs]:
    """Deal all pairs of a fund and a company it ever held into 80 %, 10 % and 10 %."""
    funds, companies = np.nonzero(holdings.held.any(0))
    order = rng.permutation(len(funds))
    cuts = [round(len(order) * share) for share in (TRAIN_SHARE, 1.0 - TEST_SHARE)]
    parts = np.split(order, cuts)
    train, validation, test = (Pairs.of(funds[part], companies[part]) for part in parts)
    return train, validation, test
