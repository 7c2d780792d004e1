import asyncio
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from dying_client import Crash, DiesBefore

from service.events import PARTITIONS, Interaction, keys_of, partition_of
from service.settings import Settings
from service.store.client import EventStore
from training.errors import SchemaError
from training.event_log import SCHEMA, drain, read_events, watermark_of

NOW_MS = 1_800_000_000_000
STREAM = keys_of("default", partition_of("u")).events


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def post(redis_url):
    def post(*events: dict) -> None:
        async def main():
            store = EventStore(redis_url, Settings.load({}))
            values = [
                Interaction.model_validate(
                    {"user_id": "u", "item_id": "i"} | event, context={"now_ms": NOW_MS}
                )
                for event in events
            ]
            await store.append("default", values, {})
            await store.close()

        asyncio.run(main())

    return post


def event_ids(folder: Path) -> list[str]:
    return read_events(folder).column("event_id").to_pylist()


def test_every_field_of_an_event_reaches_the_log(client, post, tmp_path):
    post(
        {
            "event_id": "e",
            "user_id": "a/b",
            "item_id": "日本",
            "type": "buy",
            "value": 2.5,
            "timestamp": 1_767_323_045_678,
            "recommendation_id": "r",
            "position": 3,
            "context": {"page": 1},
        }
    )
    drain(client, "default", tmp_path)
    [row] = read_events(tmp_path).to_pylist()
    assert row.pop("stream_ms") > 0
    assert row == {
        "partition": partition_of("a/b"),
        "stream_seq": 0,
        "event_id": "e",
        "user_id": "a/b",
        "item_id": "日本",
        "type": "buy",
        "value": 2.5,
        "timestamp": 1_767_323_045_678,
        "recommendation_id": "r",
        "position": 3,
        "context": '{"page": 1}',
    }


def test_drained_entries_leave_redis_and_the_rest_is_drained_later(client, post, tmp_path):
    post({"event_id": "1"})
    assert drain(client, "default", tmp_path).num_entries == 1
    assert client.xlen(STREAM) == 0
    post({"event_id": "2"})
    assert drain(client, "default", tmp_path).num_entries == 1
    assert sorted(event_ids(tmp_path)) == ["1", "2"]


def test_a_drain_without_events_writes_nothing(client, tmp_path):
    report = drain(client, "default", tmp_path / "log")
    assert (report.num_entries, report.segments, report.watermark) == (0, (), {})
    assert read_events(tmp_path / "log").schema.equals(SCHEMA)


def test_events_of_all_partitions_are_drained_in_batches(client, post, tmp_path):
    post(*({"event_id": str(n), "user_id": str(n)} for n in range(200)))
    report = drain(client, "default", tmp_path, batch_size=4)
    assert report.num_entries == 200
    assert len(report.watermark) == PARTITIONS
    assert set(event_ids(tmp_path)) == {str(n) for n in range(200)}


def test_a_crash_between_rename_and_acknowledgement_loses_and_repeats_nothing(
    client, post, tmp_path
):
    post({"event_id": "1"}, {"event_id": "2"})
    with pytest.raises(Crash):
        drain(DiesBefore(client, "xack"), "default", tmp_path)
    assert event_ids(tmp_path) == ["1", "2"]
    post({"event_id": "3"})
    drain(client, "default", tmp_path)
    assert event_ids(tmp_path) == ["1", "2", "3"]
    assert (client.xlen(STREAM), client.xpending(STREAM, "event-log")["pending"]) == (0, 0)


def test_a_repeated_segment_of_another_size_repeats_no_event(client, post, tmp_path):
    post(*({"event_id": str(n)} for n in range(6)))
    with pytest.raises(Crash):
        drain(DiesBefore(client, "xack"), "default", tmp_path, batch_size=4)
    drain(client, "default", tmp_path, batch_size=3)
    assert len(list(tmp_path.glob("*/*.parquet"))) == 4
    assert event_ids(tmp_path) == [str(n) for n in range(6)]


def test_a_crash_before_trimming_is_made_good_by_the_next_drain(client, post, tmp_path):
    post({"event_id": "1"})
    with pytest.raises(Crash):
        drain(DiesBefore(client, "xtrim"), "default", tmp_path)
    assert client.xlen(STREAM) == 1
    assert drain(client, "default", tmp_path).num_entries == 0
    assert client.xlen(STREAM) == 0


def test_events_stay_in_redis_when_the_log_cannot_be_written(client, post, tmp_path):
    post({"event_id": "1"})
    (tmp_path / "log").write_text("a file where the log needs a folder")
    with pytest.raises(NotADirectoryError):
        drain(client, "default", tmp_path / "log")
    (tmp_path / "log").unlink()
    drain(client, "default", tmp_path / "log")
    assert event_ids(tmp_path / "log") == ["1"]


def test_trimming_keeps_what_another_group_has_not_acknowledged(client, post, tmp_path):
    post({"event_id": "1"}, {"event_id": "2"})
    client.xgroup_create(STREAM, "other", id="0")
    [[_, [(first, _)]]] = client.xreadgroup("other", "c", {STREAM: ">"}, count=1)
    drain(client, "default", tmp_path)
    assert client.xlen(STREAM) == 2
    client.xack(STREAM, "other", first)
    drain(client, "default", tmp_path)
    assert client.xlen(STREAM) == 1


def test_an_event_taken_again_after_the_dedupe_window_counts_once(client, post, tmp_path):
    post({"event_id": "1", "item_id": "first"})
    drain(client, "default", tmp_path)
    client.flushall()
    post({"event_id": "1", "item_id": "second"})
    drain(client, "default", tmp_path)
    assert read_events(tmp_path).column("item_id").to_pylist() == ["first"]


def test_events_come_by_time_and_stream_order(client, post, tmp_path):
    post(
        {"event_id": "late", "timestamp": NOW_MS - 1},
        {"event_id": "early", "timestamp": NOW_MS - 2},
        {"event_id": "late too", "timestamp": NOW_MS - 1},
    )
    drain(client, "default", tmp_path)
    assert event_ids(tmp_path) == ["early", "late", "late too"]


def test_a_watermark_cuts_the_log_where_it_was(client, post, tmp_path):
    post({"event_id": "1"}, {"event_id": "2"})
    watermark = drain(client, "default", tmp_path).watermark
    post({"event_id": "3"}, {"event_id": "4", "user_id": "someone else"})
    drain(client, "default", tmp_path)
    assert read_events(tmp_path, watermark).column("event_id").to_pylist() == ["1", "2"]
    assert read_events(tmp_path, {}).num_rows == 0


def test_the_watermark_is_the_last_stream_id_and_outlives_redis(client, post, tmp_path):
    post({"event_id": "1"}, {"event_id": "2"})
    last = client.xrevrange(STREAM, count=1)[0][0].decode()
    report = drain(client, "default", tmp_path)
    client.flushall()
    partition = f"p{partition_of('u'):02d}"
    assert report.watermark == watermark_of(tmp_path) == {partition: last}


def test_segments_lie_in_the_folder_of_their_day_and_carry_the_schema_version(
    client, post, tmp_path
):
    post({"event_id": "1"})
    [segment] = drain(client, "default", tmp_path).segments
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", segment.parent.name)
    assert pq.read_schema(segment).metadata == {b"mutualrec.schema_version": b"1"}


def test_a_newer_segment_is_refused(tmp_path):
    folder = tmp_path / "2026-01-01"
    folder.mkdir()
    newer = SCHEMA.with_metadata({b"mutualrec.schema_version": b"2"})
    pq.write_table(pa.Table.from_pylist([], newer), folder / "p00-1.0-1.0.parquet")
    with pytest.raises(SchemaError, match="event schema 2"):
        read_events(tmp_path)


def test_a_client_of_the_newer_protocol_drains_the_same(redis_url, post, tmp_path):
    post({"event_id": "1"})
    with redis.Redis.from_url(redis_url, protocol=3, legacy_responses=False) as client:
        assert drain(client, "default", tmp_path).num_entries == 1
    assert event_ids(tmp_path) == ["1"]


def test_entries_of_a_dead_consumer_are_taken_over_and_those_of_a_living_one_are_not(
    client, post, tmp_path
):
    post({"event_id": "1"}, {"event_id": "2"})
    with pytest.raises(Crash):
        drain(DiesBefore(client, "xack"), "default", tmp_path / "dead", consumer="dead")
    post({"event_id": "3"})
    report = drain(client, "default", tmp_path / "log")
    assert (report.num_claimed, event_ids(tmp_path / "log")) == (0, ["3"])
    before = watermark_of(tmp_path / "log")
    report = drain(client, "default", tmp_path / "log", claim_after_s=0)
    assert (report.num_claimed, report.num_entries) == (2, 2)
    assert sorted(event_ids(tmp_path / "log")) == ["1", "2", "3"]
    assert (client.xlen(STREAM), client.xpending(STREAM, "event-log")["pending"]) == (0, 0)
    # They stand before what was in the log already, so its end does not show that they came.
    assert watermark_of(tmp_path / "log") == before | {"late": "1"}


def test_a_batch_over_midnight_becomes_a_segment_per_day(client, tmp_path):
    fields = {"e": "1", "u": "u", "i": "i", "t": "t", "v": "1.0", "ts": str(NOW_MS)}
    fields |= {"r": "", "p": "", "c": ""}
    client.xadd(STREAM, fields, id="1767311999999-0")  # 2026-01-01T23:59:59.999Z
    client.xadd(STREAM, fields | {"e": "2"}, id="1767312000000-0")
    report = drain(client, "default", tmp_path)
    assert [path.parent.name for path in report.segments] == ["2026-01-01", "2026-01-02"]
    assert event_ids(tmp_path) == ["1", "2"]
