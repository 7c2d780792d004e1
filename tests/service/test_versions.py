"""Moving, pinning, listing, comparing and pruning the versions of a catalog."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.artifact import (
    Fence,
    GateCheck,
    GateReport,
    adopt_version,
    compare_versions,
    current_version,
    describe_versions,
    enter,
    highest_fence,
    list_versions,
    load_artifact,
    pin,
    pinned_version,
    previous_version,
    promote,
    prune_versions,
    read_manifest,
    record_gate,
    set_current,
    unpin,
)
from service.errors import (
    ArtifactNotFound,
    CurrentMoved,
    TrainerFenced,
    VersionPinned,
)
from service.publishing.pointer import served_versions

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def versions(tmp_path: Path, publish) -> list[str]:
    """Three versions, a second apart; the newest is current."""
    names = [publish(tmp_path) for _ in range(3)]
    set_current(tmp_path, "default", names[-1])
    return names


def lease_holds() -> None:
    pass


def report(champion: str, *, passed: bool, forced: bool = False) -> GateReport:
    check = GateCheck(name="quality", passed=passed, reason="ndcg@10 fell by a third")
    return GateReport(
        champion=champion,
        judged_at=NOW,
        forced=forced,
        holdout_users=3,
        holdout_pairs=4,
        checks=(check,),
    )


def test_a_trainer_that_a_newer_one_replaced_cannot_move_current(tmp_path, versions):
    enter(tmp_path, "default", 1)
    enter(tmp_path, "default", 2)
    with pytest.raises(TrainerFenced, match="token is 1, one with token 2"):
        promote(tmp_path, "default", versions[0], fence=Fence(1, lease_holds))
    assert current_version(tmp_path, "default") == versions[2]
    promote(tmp_path, "default", versions[0], fence=Fence(2, lease_holds))
    assert current_version(tmp_path, "default") == versions[0]


def test_a_trainer_whose_lease_has_gone_cannot_move_current(tmp_path, versions):
    def gone() -> None:
        raise TrainerFenced("the lease is another's")

    enter(tmp_path, "default", 1)
    with pytest.raises(TrainerFenced, match="another's"):
        promote(tmp_path, "default", versions[0], fence=Fence(1, gone))
    assert current_version(tmp_path, "default") == versions[2]


@pytest.mark.usefixtures("versions")
def test_a_token_lower_than_one_that_entered_is_shut_out(tmp_path):
    enter(tmp_path, "default", 7)
    with pytest.raises(TrainerFenced):
        enter(tmp_path, "default", 6)
    assert highest_fence(tmp_path, "default") == 7


def test_a_candidate_that_was_judged_against_another_version_is_not_promoted(tmp_path, versions):
    with pytest.raises(CurrentMoved, match=versions[2]):
        promote(tmp_path, "default", versions[0], expected=versions[1])
    assert current_version(tmp_path, "default") == versions[2]


def test_a_pinned_catalog_stays_until_it_is_unpinned(tmp_path, versions):
    pin(tmp_path, "default", versions[1])
    assert current_version(tmp_path, "default") == versions[1]
    with pytest.raises(VersionPinned, match="versions unpin"):
        promote(tmp_path, "default", versions[2])
    with pytest.raises(VersionPinned):
        pin(tmp_path, "default", versions[0])
    assert unpin(tmp_path, "default") == versions[1]
    promote(tmp_path, "default", versions[2])
    assert (current_version(tmp_path, "default"), pinned_version(tmp_path, "default")) == (
        versions[2],
        None,
    )


def test_a_rollback_goes_past_refused_versions(tmp_path, versions):
    record_gate(tmp_path, "default", versions[1], report(versions[0], passed=False))
    assert previous_version(tmp_path, "default") == versions[0]


def test_a_rollback_stops_at_a_version_that_was_forced(tmp_path, versions):
    record_gate(tmp_path, "default", versions[1], report(versions[0], passed=False, forced=True))
    assert previous_version(tmp_path, "default") == versions[1]


def test_a_version_that_a_pin_held_was_never_served(tmp_path, versions):
    held = report(versions[0], passed=True).model_copy(update={"pinned_to": versions[0]})
    record_gate(tmp_path, "default", versions[1], held)
    assert [one.state for one in describe_versions(tmp_path, "default")][1] == "held"
    assert previous_version(tmp_path, "default") == versions[0]
    assert prune_versions(tmp_path, "default", keep=1).deleted == []


@pytest.mark.parametrize("verdict", ["refused", "held"])
@pytest.mark.parametrize("move", [promote, pin])
def test_a_version_that_was_promoted_by_hand_can_be_gone_back_to(tmp_path, versions, verdict, move):
    judged = report(versions[0], passed=verdict == "held")
    pinned_to = versions[0] if verdict == "held" else None
    record_gate(
        tmp_path, "default", versions[1], judged.model_copy(update={"pinned_to": pinned_to})
    )
    promote(tmp_path, "default", versions[1])
    move(tmp_path, "default", versions[2])
    assert previous_version(tmp_path, "default") == versions[1]
    assert describe_versions(tmp_path, "default")[1].state == "published"


def test_what_was_served_is_forgotten_with_the_version(tmp_path, versions):
    set_current(tmp_path, "default", versions[0])
    promote(tmp_path, "default", versions[2])
    assert prune_versions(tmp_path, "default", keep=1).deleted == [versions[0]]
    promote(tmp_path, "default", versions[1])
    assert served_versions(tmp_path, "default") == {versions[2]}


def test_without_an_older_version_there_is_nothing_to_go_back_to(tmp_path, versions):
    set_current(tmp_path, "default", versions[0])
    with pytest.raises(ArtifactNotFound, match="nothing to go back to"):
        previous_version(tmp_path, "default")


def test_the_list_says_what_each_version_is(tmp_path, versions):
    record_gate(tmp_path, "default", versions[1], report(versions[0], passed=False))
    (tmp_path / "default" / versions[0] / "manifest.json").write_text("{")
    pin(tmp_path, "default", versions[2])
    listed = describe_versions(tmp_path, "default")
    assert [(one.version, one.state, one.pinned) for one in listed] == [
        (versions[0], "damaged", False),
        (versions[1], "refused", False),
        (versions[2], "current", True),
    ]


def test_a_judged_version_still_loads_and_keeps_the_reasons(tmp_path, versions):
    record_gate(tmp_path, "default", versions[1], report(versions[0], passed=False))
    artifact = load_artifact(tmp_path, "default", versions[1])
    assert artifact.manifest.gate is not None
    assert artifact.manifest.gate.reasons == ("ndcg@10 fell by a third",)


def test_an_adopted_version_is_whole_and_adopting_again_changes_nothing(tmp_path, publish):
    version = publish(tmp_path / "beside")
    for _ in range(2):
        adopt_version(tmp_path / "beside", tmp_path / "root", "default", version)
    assert list_versions(tmp_path / "root", "default") == [version]
    assert load_artifact(tmp_path / "root", "default", version).version == version
    assert [path.name for path in (tmp_path / "root" / "default").iterdir()] == [version]


def test_versions_differ_in_the_values_that_changed_and_no_others(tmp_path, publish, make_draft):
    old = publish(
        tmp_path, draft=make_draft(metrics={"validation": {"recall@20": 0.2, "ndcg@10": 0.1}})
    )
    new = publish(
        tmp_path,
        draft=make_draft(
            num_users=7,
            metrics={"validation": {"recall@20": 0.3, "ndcg@10": 0.1}},
            watermark={"p00": "5-0"},
            recipe={"members": [{"training": {"num_threads": 2}}]},
        ),
    )
    found = compare_versions(tmp_path, "default", old, new)
    assert [(c.name, c.old, c.new) for c in found.metrics] == [("validation.recall@20", 0.2, 0.3)]
    assert ("num_users", 6, 7) in [(c.name, c.old, c.new) for c in found.data]
    assert ("watermark.p00", None, "5-0") in [(c.name, c.old, c.new) for c in found.data]
    assert [(c.name, c.old, c.new) for c in found.settings] == [
        ("recipe.members.0.training.num_threads", None, 2)
    ]


def test_pruning_keeps_the_newest_the_current_the_pinned_and_the_one_before(tmp_path, publish):
    names = [publish(tmp_path) for _ in range(6)]
    pin(tmp_path, "default", names[2])
    assert prune_versions(tmp_path, "default", keep=1).deleted == [names[0], names[3], names[4]]
    assert list_versions(tmp_path, "default") == [names[1], names[2], names[5]]


def test_pruning_keeps_what_is_younger_than_the_age(tmp_path, publish):
    names = [publish(tmp_path) for _ in range(4)]
    set_current(tmp_path, "default", names[3])
    created = read_manifest(tmp_path, "default", names[1]).created_at

    def clock() -> datetime:
        return created + timedelta(days=1)

    day = timedelta(days=1)
    # The first is older than a day, the second just as old; the third is what a rollback needs.
    assert (
        prune_versions(tmp_path, "default", keep=1, older_than=day, clock=clock).deleted
        == names[:2]
    )


def test_pruning_takes_what_killed_trainers_left_unless_somebody_may_still_write(tmp_path, publish):
    names = [publish(tmp_path) for _ in range(2)]
    set_current(tmp_path, "default", names[1])
    old, young = (tmp_path / "default" / f".writing-{name}" for name in ("old", "young"))
    for path in (old, young):
        path.mkdir()
        (path / "embeddings.safetensors").write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    assert prune_versions(tmp_path, "default", keep=5).deleted == []
    assert (old.exists(), young.exists()) == (False, True)


def test_refused_versions_do_not_push_out_what_was_served(tmp_path, publish):
    names = [publish(tmp_path) for _ in range(5)]
    set_current(tmp_path, "default", names[1])
    record_gate(tmp_path, "default", names[2], report(names[1], passed=False))
    record_gate(tmp_path, "default", names[3], report(names[1], passed=False))
    record_gate(tmp_path, "default", names[4], report(names[1], passed=False))
    assert prune_versions(tmp_path, "default", keep=2).deleted == [names[2]]


def test_a_dry_run_deletes_nothing(tmp_path, versions):
    assert prune_versions(tmp_path, "default", keep=1, dry_run=True).deleted == [versions[0]]
    assert list_versions(tmp_path, "default") == versions


def test_what_something_needs_is_kept_and_the_report_says_what_for(tmp_path, publish):
    names = [publish(tmp_path) for _ in range(4)]
    set_current(tmp_path, "default", names[3])
    needed = {names[1]: "an experiment", names[3]: "another"}
    pruned = prune_versions(tmp_path, "default", keep=1, needed=needed)
    # The last one stays anyway.
    assert (pruned.deleted, pruned.kept) == ([names[0]], {names[1]: "an experiment"})
    assert list_versions(tmp_path, "default") == names[1:]
