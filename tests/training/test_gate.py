from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judged import Judging, check, popularity_only, shuffled, until
from safetensors.numpy import load_file

from mutualrec.as_served import AsServed
from service.artifact import Artifact, load_artifact
from training.candidate import HOLDOUT, write_as_published
from training.data.dataset import Dataset
from training.data.splits import positive_pairs
from training.errors import DataError
from training.gate.contender import Contender
from training.gate.holdout import Holdout, hold_out, minus, seen_pairs, training_part
from training.gate.limits import Limits, parse_limits
from training.gate.quality import compare
from training.gate.soundness import check_search

LIMITS = Limits(latency_floor_ms=1e6)


@pytest.fixture(scope="module")
def judging(demo_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Judging:
    return Judging(demo_dataset, tmp_path_factory.mktemp("judging"))


@pytest.fixture(scope="module")
def champion(judging: Judging) -> Artifact:
    return judging.champion(0.7)


@pytest.fixture(scope="module")
def holdout(judging: Judging, champion: Artifact) -> Holdout:
    return judging.hold_out(champion, LIMITS)


def test_a_candidate_that_learned_from_newer_data_is_let_through(judging, champion, holdout):
    report = judging.judge(champion, holdout, training_part(holdout), LIMITS)
    assert report.passed
    assert (report.champion, report.refused) == (champion.version, False)
    assert (report.holdout_pairs, report.holdout_users) == (len(holdout.pairs), holdout.num_users)


def test_a_much_better_candidate_is_let_through(judging):
    weak = judging.champion(0.08)
    holdout = judging.hold_out(weak, LIMITS)
    report = judging.judge(weak, holdout, training_part(holdout), LIMITS)
    assert check(report, "ndcg@20").low > 0
    assert check(report, "ndcg@20").passed


def test_shuffled_vectors_are_refused(judging, champion, holdout):
    report = judging.judge(champion, holdout, training_part(holdout), LIMITS, shuffled)
    quality = check(report, "ndcg@20")
    assert (report.refused, quality.passed) == (True, False)
    assert quality.high < 0
    assert quality.reason.startswith("the candidate ranks worse")


def test_a_ranking_by_popularity_alone_is_refused(judging, champion, holdout):
    report = judging.judge(champion, holdout, training_part(holdout), LIMITS, popularity_only)
    assert report.refused
    assert not check(report, "ndcg@20").passed


def test_a_candidate_of_stale_data_is_refused(judging, champion, holdout):
    report = judging.judge(champion, holdout, until(judging.dataset, 0.05), LIMITS)
    assert report.refused
    assert not check(report, "ndcg@20").passed


def test_a_candidate_of_data_that_lost_what_the_champion_knows_is_refused(judging, champion):
    old = until(judging.dataset, 0.35)
    holdout = hold_out(old, champion, LIMITS)
    # Nothing in the old data is new to the champion, so that no ranking can be judged.
    assert len(holdout.pairs) == 0
    report = judging.judge(champion, holdout, training_part(holdout), LIMITS)
    kept = check(report, "kept interactions")
    assert (report.refused, kept.passed) == (True, False)
    # Half of the champion's share; some pairs happened in both halves.
    assert 0.4 < kept.value < 0.6
    assert "has an import or a log been lost?" in kept.reason


def test_the_data_that_the_champion_knows_and_more_is_kept_whole(judging, champion, holdout):
    report = judging.judge(champion, holdout, training_part(holdout), LIMITS)
    assert check(report, "kept interactions").value == 1.0


def test_one_list_for_all_shows_fewer_items_and_more_popular_ones(judging, champion, holdout):
    strict = replace(LIMITS, min_coverage=1.0, max_popularity=1.0)
    report = judging.judge(champion, holdout, training_part(holdout), strict, popularity_only)
    coverage, popularity = check(report, "coverage"), check(report, "popularity bias")
    assert (coverage.passed, popularity.passed) == (False, False)
    assert coverage.value < coverage.limit
    assert popularity.value > popularity.limit


def test_vectors_of_another_length_are_refused(judging, champion, holdout):
    def longer(draft):
        return replace(draft, items=draft.items * np.float32(50.0))

    report = judging.judge(champion, holdout, training_part(holdout), LIMITS, longer)
    assert not check(report, "vector lengths").passed
    assert check(report, "vector lengths").value > 10
    assert check(report, "ndcg@20").passed


def test_users_whose_vectors_got_lost_are_refused(judging, champion, holdout):
    def lost(draft):
        users = draft.users.copy()
        users[: len(users) // 10] = 0.0
        return replace(draft, users=users)

    report = judging.judge(champion, holdout, training_part(holdout), LIMITS, lost)
    assert not check(report, "empty vectors").passed


def test_few_users_are_too_few_to_judge_and_the_report_says_so(judging, champion, holdout):
    lenient = replace(LIMITS, min_users=10_000, min_coverage=0.0)
    report = judging.judge(champion, holdout, training_part(holdout), lenient, shuffled)
    assert check(report, "ndcg@20").passed
    assert check(report, "ndcg@20").reason == (
        f"too few to judge: {holdout.num_users} users in the holdout, 10000 are needed"
    )


def as_set(pairs) -> set[tuple[int, int]]:
    return set(zip(pairs.user_rows.tolist(), pairs.item_rows.tolist(), strict=True))


def test_the_holdout_is_the_newest_half_of_few_new_interactions(judging, champion, holdout):
    seen = as_set(seen_pairs(champion, judging.dataset))
    new = (as_set(holdout.pairs) | as_set(holdout.known)) - seen
    assert len(holdout.pairs) == len(new) // 2
    assert as_set(holdout.pairs) <= new
    pairs = positive_pairs(judging.dataset)
    times = dict(
        zip(
            zip(pairs.user_rows.tolist(), pairs.item_rows.tolist(), strict=True),
            pairs.timestamps.tolist(),
            strict=True,
        )
    )
    oldest = min(times[pair] for pair in as_set(holdout.pairs))
    assert all(times[pair] <= oldest for pair in new - as_set(holdout.pairs))


def test_of_many_new_interactions_a_share_is_held_out(judging, champion):
    limits = replace(LIMITS, holdout_pairs=0, holdout_share=0.25)
    held = judging.hold_out(champion, limits)
    num_new = len(held.pairs) + len(held.known) - len(champion.seen_indices)
    assert len(held.pairs) == -(-num_new // 4)


def test_training_sees_no_event_of_a_held_out_pair(holdout):
    learned = training_part(holdout)
    assert not as_set(holdout.pairs) & as_set(learned.interactions)
    assert as_set(holdout.known) <= as_set(learned.interactions)
    assert learned.fingerprint != holdout.dataset.fingerprint


def test_what_the_champion_was_told_since_moves_its_users_before_they_are_ranked(
    judging, champion, holdout
):

    dataset = judging.dataset
    new = minus(holdout.known, seen_pairs(champion, dataset), dataset.num_items)
    moved = np.unique(new.user_rows)
    contender = Contender(champion, AsServed(champion), holdout)
    queries = contender.queries(np.arange(dataset.num_users))
    differs = ~np.isclose(queries, champion.users, atol=1e-6).all(axis=1)
    assert 0 < len(moved) < dataset.num_users
    assert np.flatnonzero(differs).tolist() == moved.tolist()


OLD = np.tile([0.0, 1.0], 50)


def test_a_loss_that_is_certain_is_refused_however_small():
    found = compare("ndcg@20", OLD + 0.5, OLD + 0.49, Limits(), max_loss=0.1)
    assert (found.passed, found.value) == (False, pytest.approx(-0.01))
    assert found.high < 0


def test_a_loss_within_chance_and_limit_is_let_through():
    new = OLD.copy()
    new[1] = 0.0
    found = compare("ndcg@20", OLD, new, Limits(), max_loss=0.1)
    # One of a hundred users lost everything: 0.5 to 0.49, and many samples do not hold that user.
    assert (found.passed, found.value, found.high) == (True, pytest.approx(-0.01), 0.0)


def test_a_loss_beyond_the_limit_is_refused_though_it_may_be_chance():
    rng = np.random.default_rng(1)
    old, new = rng.random(30), rng.random(30) - 0.1
    found = compare("ndcg@20", old, new, Limits(), max_loss=0.01)
    assert found.high > 0
    assert not found.passed


def test_limits_are_set_by_name():
    assert parse_limits({"max_loss": 0.3}) == Limits(max_loss=0.3)
    assert parse_limits({}) == Limits()


@pytest.mark.parametrize("values", [{"max_los": 0.1}, {"max_loss": 2}, {"min_users": "many"}])
def test_a_limit_that_makes_no_sense_is_refused_with_the_known_names(values):
    with pytest.raises(DataError, match=r"known: .*max_loss.*latency_floor_ms"):
        parse_limits(values)


def test_a_search_that_misses_items_or_is_slow_is_refused(champion, holdout):

    class Broken(AsServed):
        def search(self, queries, k):
            rows, seconds = super().search(queries, k)
            rows[:, 0] = np.argmin(queries @ champion.items.T, axis=1)
            return rows, seconds + 1.0

    good = Contender(champion, AsServed(champion), holdout)
    index, latency = check_search(
        good, Contender(champion, Broken(champion), holdout), Limits(min_index_recall=0.96)
    )
    assert (index.passed, latency.passed) == (False, False)
    assert index.value == pytest.approx(0.95)
    index, latency = check_search(good, good, LIMITS)
    assert (index.passed, latency.passed, index.value) == (True, True, 1.0)


def test_a_candidate_is_written_whole_with_what_was_held_out(judging, holdout, tmp_path: Path):

    draft, trained = judging.draft(training_part(holdout))
    as_trained = judging.write(draft, trained, holdout)
    version = write_as_published(draft, as_trained, holdout, AsServed, tmp_path)
    published = load_artifact(tmp_path, "default", version)
    kept = load_file(published.folder / HOLDOUT)
    assert kept["user_rows"].tolist() == holdout.pairs.user_rows.tolist()
    assert len(published.seen_indices) == len(holdout.pairs) + len(holdout.known)
    # Everyone of whom something was held out, for validation or for the gate, is moved by it.
    moved = ~np.isclose(published.users, as_trained.users, atol=1e-6).all(axis=1)
    more = np.diff(published.seen_indptr) > np.diff(as_trained.seen_indptr)
    assert more.sum() > holdout.num_users / 2
    assert moved.tolist() == more.tolist()
