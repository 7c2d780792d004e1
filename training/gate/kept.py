"""Is what the champion has learned from still there? Without it nobody could tell what was lost."""

from service.artifact import Artifact, GateCheck
from training.gate.holdout import Holdout, minus, seen_pairs
from training.gate.limits import Limits


def check_kept(champion: Artifact, holdout: Holdout, limits: Limits) -> GateCheck:
    """Look for the champion's interactions in the data that the candidate comes from.

    A dataset folder that was imported anew from an old copy, or an event log that was lost, has
    little that is new to the champion, so that the rankings could not be judged.
    """
    total = len(champion.seen_indices)
    known = seen_pairs(champion, holdout.dataset)
    num_items = holdout.dataset.num_items
    gone = minus(minus(known, holdout.known, num_items), holdout.pairs, num_items)
    share = (len(known) - len(gone)) / total if total else 1.0
    reason = f"{share:.2%} of the champion's {total} interactions are in the data"
    passed = share >= limits.min_kept
    if not passed:
        reason += f", at least {limits.min_kept:.2%} are needed: has an import or a log been lost?"
    return GateCheck(
        name="kept interactions", passed=passed, value=share, limit=limits.min_kept, reason=reason
    )
