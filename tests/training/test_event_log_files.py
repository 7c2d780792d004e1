"""The log as files: compaction, verification, export and import."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.events import Interaction, partition_of
from training.errors import SchemaError, SegmentDamaged
from training.event_log import compact, export_events, import_events, read_events, verify
from training.event_log import watermark_of as watermark
from training.event_log.schema import SCHEMA, table_of
from training.event_log.segments import write_segment

DAY_MS = 86_400_000
NOON_MS = 1_767_355_200_000  # 2026-01-02T12:00Z
NOW_S = NOON_MS / 1000 + 3600


def event(event_id: str, **changes: object) -> Interaction:
    values = {"user_id": "u", "item_id": "i", "type": "view", "timestamp": NOON_MS}
    return Interaction.model_validate(
        values | {"event_id": event_id} | changes, context={"now_ms": NOON_MS}
    )


def segment(folder: Path, ms: int, *event_ids: str, user_id: str = "u") -> Path:
    """A segment of one user's events, taken in one millisecond."""
    partition = partition_of(user_id)
    rows = [((ms, n), event(one, user_id=user_id)) for n, one in enumerate(event_ids)]
    table = table_of(partition, rows)
    return write_segment(folder, partition, (ms, 0), (ms, len(rows) - 1), table)


def ids(folder: Path) -> list[str]:
    return read_events(folder).column("event_id").to_pylist()


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two days and two partitions; "b" was written twice."""
    folder = tmp_path / "log"
    segment(folder, NOON_MS, "a", "b")
    segment(folder, NOON_MS + 1, "b", "c")
    segment(folder, NOON_MS + 2, "d", user_id="someone else")
    segment(folder, NOON_MS + DAY_MS, "e")
    return folder


def test_compaction_leaves_a_segment_per_day_and_partition_and_every_event_once(log):
    before = ids(log), watermark(log)
    report = compact(log)
    assert (report.segments_before, report.segments_after) == (4, 3)
    assert (report.rows_before, report.rows_after, report.num_repeated) == (6, 5, 1)
    assert (ids(log), watermark(log)) == before
    assert verify(log).num_repeated == 0


def test_compacting_twice_changes_no_file(log):
    compact(log)
    before = {path: path.stat().st_mtime_ns for path in log.glob("*/*")}
    compact(log)
    assert {path: path.stat().st_mtime_ns for path in log.glob("*/*")} == before


def test_a_compaction_killed_before_it_deleted_its_sources_is_ended_by_the_next(log, tmp_path):
    expected = ids(log)
    shutil.copytree(log, tmp_path / "sources")
    compact(log)
    after = files(log)
    shutil.copytree(tmp_path / "sources", log, dirs_exist_ok=True)
    assert ids(log) == expected
    compact(log)
    assert (ids(log), files(log)) == (expected, after)


def test_an_event_repeated_on_another_day_is_dropped_and_the_watermark_stays(log):
    segment(log, NOON_MS + 2 * DAY_MS, "a")
    before = watermark(log)
    compact(log)
    assert sorted(ids(log)) == list("abcde")
    assert watermark(log) == before
    assert verify(log).num_rows == 5


def test_compaction_clears_away_what_killed_writers_left(log):
    left = next(log.glob("*/*.parquet"))
    left.with_name(f".0123456789ab-{left.name}").write_bytes(b"half")
    assert verify(log).num_drafts == 1
    assert compact(log).num_drafts == 1
    assert verify(log).num_drafts == 0


def test_compaction_of_a_log_with_damage_changes_nothing(log):
    next(iter(sorted(log.glob("*/*.parquet")))).write_bytes(b"PAR1")
    before = files(log)
    with pytest.raises(SegmentDamaged):
        compact(log)
    assert files(log) == before


def test_a_sound_log_is_counted(log):
    report = verify(log)
    assert report.is_sound
    assert (report.num_segments, report.num_rows, report.num_events) == (4, 6, 5)
    assert (report.num_repeated, report.num_drafts) == (1, 0)


def test_an_empty_log_is_sound(tmp_path):
    report = verify(tmp_path / "log")
    assert report.is_sound
    assert report.num_rows == 0


@settings(max_examples=25, deadline=None)
@given(place=st.integers(min_value=0), change=st.integers(1, 255))
def test_no_changed_byte_of_the_data_goes_unnoticed(tmp_path_factory, place, change):
    folder = tmp_path_factory.mktemp("damaged") / "log"
    path = segment(folder, NOON_MS, *(f"event {n}" for n in range(50)))
    content = bytearray(path.read_bytes())
    # Columns of the log begin after the magic number; headers of pages and the footer have no
    # checksum, but what they describe does not fit the rest any more, or says the same.
    expected = ids(folder)
    position = 4 + place % (len(content) - 8)
    content[position] ^= change
    path.write_bytes(content)
    report = verify(folder)
    assert not report.is_sound or ids(folder) == expected


def test_a_truncated_segment_is_named_with_what_to_do(log):
    path = sorted(log.glob("*/*.parquet"))[0]
    path.write_bytes(path.read_bytes()[:-20])
    [fault] = verify(log).faults
    assert str(path) in fault
    with pytest.raises(SegmentDamaged, match="put a backup of it in its place"):
        read_events(log)


def test_a_segment_of_a_newer_program_is_reported(log):
    path = sorted(log.glob("*/*.parquet"))[0]
    newer = SCHEMA.with_metadata({b"mutualrec.schema_version": b"2"})
    pq.write_table(pa.Table.from_pylist([], newer), path)
    [fault] = verify(log).faults
    assert "event schema 2" in fault


def test_a_segment_under_a_wrong_name_is_reported(log):
    path = sorted(log.glob("*/*.parquet"))[0]
    path.rename(path.with_name("p00-1.0-1.1.parquet"))
    assert len(verify(log).faults) == 1


@pytest.mark.parametrize("name", ["out.jsonl", "out.ndjson", "out.parquet"])
def test_an_exported_log_can_be_imported_elsewhere_once(log, tmp_path, name):
    assert export_events(log, tmp_path / name) == 5
    copy = tmp_path / "copy"
    report = import_events(copy, tmp_path / name, clock=lambda: NOW_S)
    assert (report.read, report.added, report.known) == (5, 5, 0)
    fields = ["event_id", "user_id", "item_id", "type", "value", "timestamp"]
    assert read_events(copy).select(fields).sort_by("event_id").to_pylist() == (
        read_events(log).select(fields).sort_by("event_id").to_pylist()
    )
    again = import_events(copy, tmp_path / name, clock=lambda: NOW_S)
    assert (again.added, again.known) == (0, 5)
    assert verify(copy).is_sound


def test_a_line_of_an_export_is_what_the_service_takes(tmp_path):
    partition = partition_of("u")
    sent = event("a", context={"page": "日本"}, position=3, value=2.5, recommendation_id="r")
    table = table_of(partition, [((NOON_MS, 0), sent)])
    write_segment(tmp_path / "log", partition, (NOON_MS, 0), (NOON_MS, 0), table)
    export_events(tmp_path / "log", tmp_path / "out.jsonl")
    [line] = (tmp_path / "out.jsonl").read_text().splitlines()
    read = Interaction.model_validate(json.loads(line), context={"now_ms": NOON_MS})
    assert read == sent


def test_an_import_changes_the_watermark_and_nothing_new_does_not(log, tmp_path):
    before = watermark(log)
    export_events(log, tmp_path / "out.jsonl")
    import_events(log, tmp_path / "out.jsonl", clock=lambda: NOW_S)
    assert watermark(log) == before
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    (tmp_path / "new.jsonl").write_text(json.dumps(lines[0] | {"event_id": "new"}) + "\n")
    import_events(log, tmp_path / "new.jsonl", clock=lambda: NOW_S)
    assert watermark(log) == before | {"p16": f"{round(NOW_S * 1000)}-0"}
    assert "new" in read_events(log, watermark(log)).column("event_id").to_pylist()
    assert "new" not in read_events(log, before).column("event_id").to_pylist()


def test_an_event_twice_in_a_file_is_imported_once(tmp_path):
    line = '{"event_id": "a", "user_id": "u", "item_id": "i", "type": "t", "timestamp": %d}\n'
    (tmp_path / "in.jsonl").write_text(2 * (line % NOON_MS))
    report = import_events(tmp_path / "log", tmp_path / "in.jsonl", clock=lambda: NOW_S)
    assert (report.read, report.added, report.known) == (2, 1, 1)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"event_id": "a"', "no JSON object"),
        ("[]", "no JSON object"),
        ('{"user_id": "u", "item_id": "i", "type": "t", "timestamp": 1767355200000}', "event_id"),
        ('{"event_id": "a", "user_id": "", "item_id": "i", "type": "t", "timestamp": 1767355200000}'
         , "user_id"),
        ('{"event_id": "a", "user_id": "u", "item_id": "i", "type": "t", "timestamp": 4767355200000'
         "}", "5 minutes"),
    ],
)  # fmt: skip
def test_a_file_with_a_broken_line_is_refused_whole(tmp_path, line, fault):
    good = '{"event_id": "z", "user_id": "u", "item_id": "i", "type": "t", "timestamp": %d}'
    (tmp_path / "in.jsonl").write_text(good % NOON_MS + "\n" + line + "\n")
    with pytest.raises(SchemaError, match=f"line 2: .*{fault}"):
        import_events(tmp_path / "log", tmp_path / "in.jsonl", clock=lambda: NOW_S)
    assert ids(tmp_path / "log") == []


def test_a_parquet_file_of_something_else_is_refused(tmp_path):
    pq.write_table(pa.table({"event_id": ["a"], "context": [1.5]}), tmp_path / "in.parquet")
    with pytest.raises(SchemaError, match=r"no events|no Parquet file of events"):
        import_events(tmp_path / "log", tmp_path / "in.parquet", clock=lambda: NOW_S)
    (tmp_path / "in.parquet").write_bytes(b"nothing")
    with pytest.raises(SchemaError, match="no Parquet file of events"):
        import_events(tmp_path / "log", tmp_path / "in.parquet", clock=lambda: NOW_S)


def test_a_file_of_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(SchemaError, match=r"\.jsonl"):
        export_events(tmp_path / "log", tmp_path / "out.csv")
