"""Erased users and items leave the log and the data of the next training."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import redis
from dying_client import Crash, DiesBefore

from service.artifact import erasures_name
from service.erasure.marks import Mark, MarkStore
from service.erasure.users import Erasure
from service.events import Interaction, Tombstone, digest_of, partition_of
from service.settings import Settings
from service.store.client import EventStore
from training.data.dataset import read_dataset, read_draft, write_dataset
from training.data.forgetting import forget
from training.data.merge import merge_events
from training.data.tables import Neighbours
from training.event_log import (
    compact,
    drain,
    export_events,
    import_events,
    read_events,
    traces,
    verify,
    watermark_of,
)
from training.event_log.erasing import carry_out, erase
from training.event_log.schema import table_of
from training.event_log.segments import write_segment

NOW_MS = 1_800_000_000_000


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def store(redis_url):
    def run(work):
        async def main():
            store = EventStore(redis_url, Settings.load({}))
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(main())

    return run


@pytest.fixture
def post(store):
    def post(*events: tuple[str, str, str]) -> None:
        taken = [
            Interaction.model_validate(
                {"event_id": event_id, "user_id": user_id, "item_id": item_id},
                context={"now_ms": NOW_MS},
            )
            for event_id, user_id, item_id in events
        ]
        store(lambda store: store.append("default", taken, {}))

    return post


def carried_name(user_id: str) -> str:
    return erasures_name(partition_of(user_id))


def forget_user(store, user_id: str) -> None:
    store(lambda store: Erasure(store).erase_user("default", user_id))


def ids(folder: Path) -> list[str]:
    return sorted(read_events(folder).column("event_id").to_pylist())


def test_the_next_drain_removes_an_erased_user_from_every_segment(client, store, post, tmp_path):
    post(("1", "ann", "i"), ("2", "bob", "i"))
    drain(client, "default", tmp_path / "log")
    before = watermark_of(tmp_path / "log")
    forget_user(store, "ann")
    assert drain(client, "default", tmp_path / "log").num_erasures == 1
    assert ids(tmp_path / "log") == ["2"]
    assert traces(tmp_path / "log", "user", "ann") == 0
    assert verify(tmp_path / "log").is_sound
    # So the next retraining has something new to learn.
    after = watermark_of(tmp_path / "log")
    assert after == before | {"erased": "1", carried_name("ann"): after[carried_name("ann")]}
    assert "ann" not in (tmp_path / "log" / "log.json").read_text()


def mark_of(store, user_id: str) -> Mark:
    news = store(lambda store: MarkStore(store).read("default"))
    return news.marks[digest_of(user_id)]


def test_the_watermark_says_which_erasures_were_carried_out(client, store, post, tmp_path):
    log = tmp_path / "log"
    post(("1", "ann", "i"), ("2", "bob", "i"))
    forget_user(store, "ann")
    drain(client, "default", log)
    first, before = watermark_of(log), mark_of(store, "ann")
    forget_user(store, "ann")
    # It was not carried out yet: a version trained now knows nothing of it.
    assert watermark_of(log) == first
    drain(client, "default", log)
    marks = [before, mark_of(store, "ann")]
    said = [
        Mark.of(partition_of("ann"), one[carried_name("ann")]) for one in (first, watermark_of(log))
    ]
    assert said == marks
    assert marks[0] < marks[1]


def test_an_erased_item_moves_no_watermark_of_users(client, store, post, tmp_path):
    post(("1", "ann", "i"))
    store(lambda store: Erasure(store).erase_item("default", "i"))
    drain(client, "default", tmp_path / "log")
    assert not [name for name in watermark_of(tmp_path / "log") if name.endswith("-erased")]


def test_what_an_erased_user_does_later_is_kept(client, store, post, tmp_path):
    post(("1", "ann", "i"))
    drain(client, "default", tmp_path / "log")
    forget_user(store, "ann")
    post(("2", "ann", "i"))
    drain(client, "default", tmp_path / "log")
    assert ids(tmp_path / "log") == ["2"]


def test_an_event_that_a_drain_held_while_its_user_was_erased_is_dropped(
    client, store, post, tmp_path
):
    post(("1", "ann", "i"), ("2", "ann", "j"))
    with pytest.raises(Crash):
        drain(DiesBefore(client, "xack"), "default", tmp_path / "log")
    forget_user(store, "ann")
    drain(client, "default", tmp_path / "log")
    assert traces(tmp_path / "log", "user", "ann") == 0
    assert ids(tmp_path / "log") == []


def test_an_erasure_killed_halfway_hides_the_events_and_is_ended_by_the_next_drain(
    client, store, post, tmp_path
):
    post(("1", "ann", "i"))
    drain(client, "default", tmp_path / "log")
    forget_user(store, "ann")
    with pytest.raises(Crash):
        carry_out(DiesBefore(client, "xdel"), "default", tmp_path / "log")
    assert ids(tmp_path / "log") == []
    assert drain(client, "default", tmp_path / "log").num_erasures == 1
    assert watermark_of(tmp_path / "log")["erased"] == "1"
    assert drain(client, "default", tmp_path / "log").num_erasures == 0


def test_a_segment_brought_back_from_a_backup_is_not_read_and_is_reported(
    client, store, post, tmp_path
):
    post(("1", "ann", "i"), ("2", "bob", "i"))
    [*segments] = drain(client, "default", tmp_path / "log").segments
    backup = {path: path.read_bytes() for path in segments}
    forget_user(store, "ann")
    drain(client, "default", tmp_path / "log")
    for path, content in backup.items():
        path.write_bytes(content)
    assert ids(tmp_path / "log") == ["2"]
    report = verify(tmp_path / "log")
    assert (report.is_sound, report.num_erased) == (False, 1)
    assert compact(tmp_path / "log").num_erased == 1
    assert verify(tmp_path / "log").is_sound
    assert traces(tmp_path / "log", "user", "ann") == 0


def test_an_old_export_does_not_bring_an_erased_user_back(client, post, tmp_path):
    post(("1", "ann", "i"), ("2", "bob", "i"))
    drain(client, "default", tmp_path / "log")
    export_events(tmp_path / "log", tmp_path / "out.jsonl")
    folder = tmp_path / "restored"
    at_ms = NOW_MS + 1000
    erase(folder, [Tombstone("user", digest_of("ann"), (at_ms, 0), at_ms)])
    report = import_events(folder, tmp_path / "out.jsonl", clock=lambda: NOW_MS / 1000)
    assert (report.added, report.erased) == (1, 1)
    assert ids(folder) == ["2"]


def test_an_erased_item_leaves_the_log_in_all_partitions(client, store, post, tmp_path):
    post(*((str(n), f"u{n}", "bad" if n % 2 else "good") for n in range(40)))
    drain(client, "default", tmp_path / "log")
    store(lambda store: Erasure(store).erase_item("default", "bad"))
    drain(client, "default", tmp_path / "log")
    assert set(read_events(tmp_path / "log").column("item_id").to_pylist()) == {"good"}
    assert traces(tmp_path / "log", "item", "bad") == 0


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Events of ann and bob; ann's and the vase's past was erased."""
    folder = tmp_path / "log"
    for user_id in ("ann", "bob"):
        values = {"event_id": user_id, "user_id": user_id, "item_id": "new", "type": "view"}
        event = Interaction.model_validate(
            values | {"timestamp": NOW_MS}, context={"now_ms": NOW_MS}
        )
        partition, place = partition_of(user_id), (NOW_MS, 0)
        write_segment(folder, partition, place, place, table_of(partition, [(place, event)]))
    before = NOW_MS - 1
    erase(
        folder,
        [
            Tombstone("user", digest_of("ann"), (before, 0), before),
            Tombstone("item", digest_of("vase"), (before, 0), before),
        ],
    )
    return folder


@pytest.fixture
def base(demo_folder: Path, tmp_path: Path) -> Path:
    """The demo data with its first user called ann and its first item called vase."""
    draft = read_draft(demo_folder)
    ann, vase = draft.interactions["user_id"][0], draft.items["item_id"][0]
    people = draft.users
    assert people is not None or draft.users is None
    renamed = replace(
        draft,
        interactions=draft.interactions.with_columns(
            pl.col("user_id").replace(ann, "ann"), pl.col("item_id").replace(vase, "vase")
        ),
        items=draft.items.with_columns(pl.col("item_id").replace(vase, "vase")),
        users=None,
    )
    write_dataset(tmp_path / "base", renamed, clock=lambda: NOW_MS / 1000)
    return tmp_path / "base"


def test_the_next_training_does_not_see_what_was_erased_in_the_data_it_began_with(
    log, base, tmp_path
):
    before = read_draft(base)
    merge_events(base, read_events(log), tmp_path / "merged", clock=lambda: NOW_MS / 1000)
    merged = read_draft(tmp_path / "merged")
    of_ann = merged.interactions.filter(pl.col("user_id") == "ann")
    assert of_ann["item_id"].to_list() == ["new"]  # what she did after her erasure
    assert "vase" in before.items["item_id"]
    assert "vase" not in merged.items["item_id"]
    assert "vase" not in merged.interactions["item_id"]
    kept = before.items["item_id"].to_list()[1:]
    assert merged.items["item_id"].to_list() == [*kept, "new"]
    for name, matrix in before.features.items():
        np.testing.assert_array_equal(merged.features[name][: len(kept)], matrix[1:])
    read_dataset(tmp_path / "merged", clock=lambda: NOW_MS / 1000)


def test_neighbours_that_are_gone_become_the_item_itself(base):
    draft = read_draft(base)
    name = next(iter(draft.features))
    count = len(draft.items)
    ring = np.stack([(np.arange(count) - 1) % count, (np.arange(count) + 1) % count], axis=1)
    given = Neighbours(ring.astype(np.int64), np.full((count, 2), 0.5, np.float32))
    forgotten = forget(
        replace(draft, neighbours={name: given}), {}, {digest_of("vase"): NOW_MS}
    ).neighbours[name]
    # vase was row 0: the first item that stays had it as its left neighbour, the last as its right.
    assert forgotten.indices[0].tolist() == [0, 1]
    assert forgotten.similarities[0].tolist() == [0.0, 0.5]
    assert forgotten.indices[-1].tolist() == [count - 3, count - 2]
    assert forgotten.similarities[-1].tolist() == [0.5, 0.0]


def test_without_erasures_the_data_stays_the_same_object(base):
    draft = read_draft(base)
    assert forget(draft, {}, {}) is draft
