"""A version as it may be served: without users who were erased since it was trained."""

from dataclasses import replace

from service.erasure.known import KnownUsers
from service.erasure.marks import Carried, Erased
from service.funds.facts import without
from service.snapshot import Snapshot


def hiding(snapshot: Snapshot, erased: Erased) -> Snapshot:
    """The version, whose users leave it when they are erased.

    Args:
        snapshot: a version as it was published.
        erased: the marks of its catalog; they change.
    """
    carried = Carried(snapshot.artifact.manifest)
    return replace(snapshot, user_rows=KnownUsers(snapshot.user_rows, erased, carried))


def without_funds(snapshot: Snapshot) -> Snapshot:
    """The version without the positions and names of fund companies that are erased by now."""
    facts, known = snapshot.artifact.funds, snapshot.user_rows
    if facts is None or not isinstance(known, KnownUsers):
        return snapshot
    hidden = known.hidden
    if not hidden:
        return snapshot
    ids = snapshot.artifact.user_ids
    artifact = replace(
        snapshot.artifact,
        funds=without(facts, hidden),
        user_ids=tuple("" if row in hidden else name for row, name in enumerate(ids)),
    )
    return replace(snapshot, artifact=artifact)
