import json

import redis

from mutualrec.valkey import private_valkey
from service.events import Interaction, encode_event, keys_of, partition_of

LINE = {"event_id": "a", "user_id": "u", "item_id": "i", "type": "t", "timestamp": 1767355200000}


def test_events_are_imported_verified_compacted_and_exported(invoke, tmp_path):
    (tmp_path / "in.jsonl").write_text(json.dumps(LINE) + "\n")
    assert "1 read, 1 added" in invoke("events", "import", tmp_path / "in.jsonl").out
    assert "0 added, 1 known" in invoke("events", "import", tmp_path / "in.jsonl").out
    verified = invoke("events", "verify")
    assert (verified.code, "1 segments, 1 rows, 1 events" in verified.out) == (0, True)
    assert "1 segments became 1" in invoke("events", "compact").out
    assert invoke("events", "export", tmp_path / "out.jsonl").code == 0
    assert json.loads((tmp_path / "out.jsonl").read_text()) == LINE | {"value": 1.0}


def test_a_damaged_log_has_exit_code_1_and_names_the_file(invoke, tmp_path):
    (tmp_path / "in.jsonl").write_text(json.dumps(LINE) + "\n")
    invoke("events", "import", tmp_path / "in.jsonl")
    [path] = (tmp_path / "var" / "events" / "default").glob("*/*.parquet")
    path.write_bytes(b"PAR1")
    verified = invoke("events", "verify")
    assert verified.code == 1
    assert str(path) in verified.out
    exported = invoke("events", "export", tmp_path / "out.jsonl")
    assert (exported.code, (tmp_path / "out.jsonl").exists()) == (1, False)
    assert "is damaged" in exported.err


def test_a_broken_import_is_one_line_and_nothing_is_taken(invoke, tmp_path):
    (tmp_path / "in.jsonl").write_text(json.dumps(LINE) + "\nnonsense\n")
    result = invoke("events", "import", tmp_path / "in.jsonl")
    assert (result.code, "line 2" in result.err) == (1, True)
    assert "0 rows" in invoke("events", "verify").out


def test_events_are_drained_from_the_workspaces_own_server(invoke, tmp_path):
    stream = keys_of("default", partition_of("u")).events
    event = Interaction.model_validate(LINE, context={"now_ms": LINE["timestamp"]})
    folder = tmp_path / "var" / "redis"
    with private_valkey(folder) as url, redis.Redis.from_url(url) as client:
        client.xadd(stream, encode_event(event))
        assert "1 events in 1 new segments" in invoke("events", "drain").out
    assert "1 events" in invoke("events", "verify").out
