"""The judgement: every check, with its reason in words."""

from collections.abc import Callable
from datetime import UTC, datetime

from service.artifact import Artifact, GateReport
from training.gate.contender import Contender
from training.gate.holdout import Holdout
from training.gate.kept import check_kept
from training.gate.limits import Limits
from training.gate.lists import check_lists
from training.gate.quality import check_quality
from training.gate.serving import Serve
from training.gate.soundness import check_search, check_vectors


def _now() -> datetime:
    return datetime.now(UTC)


def judge(
    champion: Artifact,
    candidate: Artifact,
    holdout: Holdout,
    serve: Serve,
    limits: Limits,
    *,
    warm: bool = False,
    clock: Callable[[], datetime] = _now,
) -> GateReport:
    """Hold a candidate against the version that is served.

    Args:
        champion: The current version.
        candidate: The candidate as it was trained: what it lists as seen is what it learned from.
        holdout: The interactions that neither has learned from.
        serve: What the service makes of a version.
        limits: From where on a check fails.
        warm: Whether the candidate's training began with the champion's parameters.
        clock: Gives an aware time.
    """
    old = Contender(champion, serve(champion), holdout)
    new = Contender(candidate, serve(candidate), holdout)
    checks = (
        *check_quality(old, new, limits),
        check_kept(champion, holdout, limits),
        *check_lists(old, new, limits),
        *check_vectors(champion, candidate, limits),
        *check_search(old, new, limits),
    )
    return GateReport(
        champion=champion.version,
        judged_at=clock(),
        warm=warm,
        holdout_users=holdout.num_users,
        holdout_pairs=len(holdout.pairs),
        checks=checks,
    )
