"""How a retraining is asked for, and what is said of how it ended."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mutualrec.options import parse_settings

if TYPE_CHECKING:
    from service.scheduling.status import Decision, Judgement
    from service.settings import Settings
    from training.job import Policy, Step
    from training.retrain import Outcome

PROMOTED, NOTHING_NEW, REFUSED, PINNED = 0, 10, 20, 30


def policy_of(
    settings: "Settings", *, limits: Sequence[str] = (), force: bool = False, full: bool = False
) -> "Policy":
    """Return how to retrain.

    Args:
        settings: The service's settings.
        limits: Limits of the gate as `name=value`, which go before those of the settings.
        force: Publish a candidate that the gate refuses.
        full: Begin with new parameters.

    Raises:
        DataError: A limit has an unknown name or a wrong value.
        typer.BadParameter: A limit is not `name=value`.
    """
    from training.gate.limits import parse_limits
    from training.job import Policy

    return Policy(
        limits=parse_limits(parse_settings([*settings.gate, *limits])),
        full_every=1 if full else settings.retrain_full_every,
        force=force,
    )


def exit_code(outcome: "Outcome") -> int:
    """Return the exit code that tells how a retraining ended."""
    if outcome.version is not None:
        return PROMOTED
    if outcome.repeated:
        return NOTHING_NEW
    if outcome.held is not None:
        return PINNED
    return NOTHING_NEW if outcome.refused is None else REFUSED


def judgement_of(outcome: "Outcome") -> "Judgement | None":
    """Return what the gate said; None where there was nothing to judge."""
    from service.scheduling.status import Judgement

    if outcome.refused is not None:
        return Judgement(outcome.refused, "refused", outcome.reasons)
    version = outcome.version or outcome.held
    if version is None:
        return None
    decision: Decision = "forced" if outcome.reasons else "accepted"
    return Judgement(version, decision, outcome.reasons, outcome.pinned_to)


def describe(catalog: str, outcome: "Outcome") -> str:
    """Say in words how a retraining ended."""
    reasons = "".join(f"\n  {reason}" for reason in outcome.reasons)
    forced = f", though the gate refused it:{reasons}" if outcome.reasons else ""
    if outcome.held is not None:
        new = (
            "nothing new since" if outcome.repeated else f"{outcome.num_events} events in the log,"
        )
        return (
            f"catalog {catalog}: {new} version {outcome.held} was kept; it is not current, because "
            f"the catalog is pinned to {outcome.pinned_to}. To make it so, run "
            f"`mutualrec versions unpin` and `mutualrec retrain`{forced}"
        )
    if outcome.repeated:
        return (
            f"catalog {catalog}: nothing new since version {outcome.refused} was refused; publish "
            f"it with `mutualrec retrain --force`. Why it was refused:{reasons}"
        )
    if outcome.refused is not None:
        return (
            f"catalog {catalog}: the gate refused version {outcome.refused}, which is kept; the "
            f"current version stays. Publish it with `mutualrec retrain --force`.{reasons}"
        )
    if outcome.version is None:
        return f"catalog {catalog}: no new events, nothing to do"
    return (
        f"catalog {catalog}: {outcome.num_events} events in the log, "
        f"version {outcome.version} is current{forced}"
    )


def describe_step(step: "Step") -> str:
    """Say in words what a retraining does next."""
    last = "" if step.last_s is None else f" ({step.last_s:.0f} s last time)"
    return f"step {step.number} of {step.total}: {step.what}{last}"
