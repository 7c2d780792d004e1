import pytest
from shop import LENIENT, REFUSING, Shop

from service import versions
from service.artifact import (
    describe_versions,
    list_versions,
    load_artifact,
    pin,
    previous_version,
    promote,
    read_manifest,
    unpin,
)
from service.errors import CurrentMoved
from training.candidate import HOLDOUT
from training.gate import verdict
from training.job import Policy
from training.retrain import Outcome

pytestmark = pytest.mark.any_server


def gate_of(shop: Shop, version: str):
    return read_manifest(shop.home / "artifacts", "default", version).gate


def states(shop: Shop) -> list[str]:
    return [one.state for one in describe_versions(shop.home / "artifacts", "default")]


def test_the_judgement_of_a_version_is_in_its_manifest(shop):
    before = shop.current
    shop.post_many(1)
    version = shop.retrain(policy=LENIENT).version
    gate = gate_of(shop, version)
    assert (gate.champion, gate.passed, gate.forced) == (before, True, False)
    # Half of the 40 new pairs, or of those that are new, each of another user.
    assert 10 < gate.holdout_users == gate.holdout_pairs <= 20
    assert "too few to judge" in gate.checks[0].reason
    assert {check.name for check in gate.checks} == {
        *("ndcg@20", "ndcg@20 of cold users", "kept interactions", "coverage", "popularity bias"),
        *("finite vectors", "empty vectors", "vector lengths", "index recall", "search latency"),
    }
    assert HOLDOUT in read_manifest(shop.home / "artifacts", "default", version).files


def test_a_refused_candidate_is_kept_and_the_current_version_stays(shop):
    before = shop.current
    shop.post_many(1)
    outcome = shop.retrain(policy=REFUSING)
    assert (outcome.version, outcome.num_events, outcome.repeated) == (None, 40, False)
    assert shop.current == before
    assert states(shop) == ["current", "refused"]
    gate = gate_of(shop, outcome.refused)
    assert gate.refused
    assert outcome.reasons == gate.reasons
    assert "vectors changes by a factor" in outcome.reasons[0]
    # It can be looked at and served like any version.
    load_artifact(shop.home / "artifacts", "default", outcome.refused)


def test_a_refused_candidate_is_not_made_again_until_something_is_new(shop):
    shop.post_many(1)
    refused = shop.retrain(policy=REFUSING).refused

    def not_to_be_trained(_name, _epochs, _metric):
        raise AssertionError("trained again")

    again = shop.retrain(progress=not_to_be_trained)
    assert (again.version, again.num_events, again.refused) == (None, 0, refused)
    assert again.repeated
    shop.post_many(2)
    assert shop.retrain(policy=LENIENT).version == shop.current


def test_a_refused_candidate_can_be_forced_without_training_again(shop):
    shop.post_many(1)
    refused = shop.retrain(policy=REFUSING).refused
    forced = shop.retrain(policy=Policy(force=True))
    assert forced.version == refused == shop.current
    assert forced.reasons
    gate = gate_of(shop, refused)
    assert (gate.forced, gate.passed, gate.refused) == (True, False, False)


def test_forcing_publishes_at_once_and_says_so_in_the_manifest(shop):
    shop.post_many(1)
    outcome = shop.retrain(policy=Policy(limits=REFUSING.limits, force=True))
    assert outcome.version == shop.current
    assert gate_of(shop, outcome.version).forced


def test_forcing_what_passes_is_no_forcing(shop):
    shop.post_many(1)
    outcome = shop.retrain(policy=Policy(limits=LENIENT.limits, force=True))
    assert (outcome.version, outcome.reasons) == (shop.current, ())
    assert not gate_of(shop, outcome.version).forced


def test_a_rollback_is_one_write_of_the_pointer_and_goes_to_no_refused_version(shop, monkeypatch):
    first = shop.current
    shop.post_many(1)
    assert shop.retrain(policy=REFUSING).refused
    shop.post_many(2)
    second = shop.retrain(policy=LENIENT).version
    root = shop.home / "artifacts"
    assert previous_version(root, "default") == first

    written = []
    write = versions.write_small_file
    monkeypatch.setattr(
        versions, "write_small_file", lambda path, text: (written.append(path), write(path, text))
    )
    assert promote(root, "default", first) == second
    assert [path.name for path in written] == ["CURRENT"]
    assert shop.current == first


def test_a_version_that_became_current_meanwhile_stays(shop):
    first = shop.current
    shop.post_many(1)
    second = shop.retrain(policy=LENIENT).version
    shop.post_many(2)

    def rolling_back(step):
        if step.what == "publish":
            promote(shop.home / "artifacts", "default", first)

    with pytest.raises(CurrentMoved, match=f"from {second} to {first}"):
        shop.retrain(policy=LENIENT, announce=rolling_back)
    assert shop.current == first


def test_under_a_pin_the_candidate_is_judged_and_held_beside_the_pinned_version(shop):
    before = shop.current
    pin(shop.home / "artifacts", "default", before)
    shop.post_many(1)
    outcome = shop.retrain(policy=LENIENT)
    assert outcome == Outcome(None, 40, held=outcome.held, pinned_to=before)
    assert (shop.current, states(shop)) == (before, ["current", "held"])
    gate = gate_of(shop, outcome.held)
    assert (gate.passed, gate.refused, gate.pinned_to) == (True, False, before)
    load_artifact(shop.home / "artifacts", "default", outcome.held)


def test_a_held_candidate_is_not_made_again_until_something_is_new(shop):
    before = shop.current
    pin(shop.home / "artifacts", "default", before)
    shop.post_many(1)
    held = shop.retrain(policy=LENIENT).held
    again = shop.retrain(policy=LENIENT)
    assert again == Outcome(None, 0, repeated=True, held=held, pinned_to=before)
    shop.post_many(2)
    assert shop.retrain(policy=LENIENT).held not in (None, held)
    assert states(shop) == ["current", "held", "held"]


def test_without_the_pin_what_it_held_becomes_current_without_a_training(shop):
    root, before = shop.home / "artifacts", shop.current
    pin(root, "default", before)
    shop.post_many(1)
    held = shop.retrain(policy=LENIENT).held
    unpin(root, "default")
    told = []
    assert shop.retrain(policy=LENIENT, announce=told.append) == Outcome(held, 40)
    assert [step.what for step in told] == ["drain the events", "publish"]
    assert (shop.current, gate_of(shop, held).pinned_to) == (held, None)
    assert states(shop) == ["published", "current"]
    # The next training begins with the parameters of what was held.
    shop.post_many(2)
    assert gate_of(shop, shop.retrain(policy=LENIENT).version).warm


def test_a_pin_holds_what_is_forced_and_it_stays_forced(shop):
    root, before = shop.home / "artifacts", shop.current
    pin(root, "default", before)
    shop.post_many(1)
    refused = shop.retrain(policy=REFUSING)
    assert (refused.held, states(shop)) == (None, ["current", "refused"])
    forced = shop.retrain(policy=Policy(limits=REFUSING.limits, force=True))
    assert (forced.held, forced.reasons) == (refused.refused, refused.reasons)
    unpin(root, "default")
    assert shop.retrain(policy=REFUSING).version == forced.held
    assert gate_of(shop, forced.held).forced


STEPS = (
    "drain the events",
    "merge the events",
    "train 0-bpr",
    "train 1-itemcf",
    "combine the members",
    "judge the candidate",
    "publish",
)


def test_the_steps_are_told_and_counted(shop):
    shop.post_many(1)
    told = []
    shop.retrain(policy=LENIENT, announce=told.append)
    assert tuple(step.what for step in told) == STEPS
    assert [(step.number, step.total) for step in told] == [(n, 7) for n in range(1, 8)]


@pytest.mark.parametrize("fatal", STEPS)
def test_a_retraining_killed_before_any_step_goes_on_and_publishes_one_version(shop, fatal):
    def die(step):
        if step.what == fatal:
            raise KeyboardInterrupt

    before = shop.current
    shop.post_many(1)
    with pytest.raises(KeyboardInterrupt):
        shop.retrain(policy=LENIENT, announce=die)
    assert shop.current == before
    outcome = shop.retrain(policy=LENIENT)
    assert outcome == Outcome(shop.current, 40)
    assert list_versions(shop.home / "artifacts", "default") == [before, outcome.version]
    assert shop.retrain(policy=LENIENT) == Outcome(None, 0)


def test_one_killed_between_keeping_and_publishing_publishes_what_was_kept(shop, monkeypatch):
    def die(*_arguments, **_named):
        raise KeyboardInterrupt

    shop.post_many(1)
    with monkeypatch.context() as patch:
        patch.setattr(verdict, "promote", die)
        with pytest.raises(KeyboardInterrupt):
            shop.retrain(policy=LENIENT)
    kept = list_versions(shop.home / "artifacts", "default")[-1]
    assert kept != shop.current
    assert shop.retrain(policy=LENIENT).version == kept == shop.current
    assert len(list_versions(shop.home / "artifacts", "default")) == 2
