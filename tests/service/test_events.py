from contextlib import nullcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.events import Interaction, decode_event, encode_event, keys_of, partition_of

NOW_MS = 1_800_000_000_000


def read(**fields) -> Interaction:
    values = {"user_id": "u", "item_id": "i"} | fields
    return Interaction.model_validate(values, context={"now_ms": NOW_MS})


def wire(event: Interaction) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in encode_event(event).items()}


def test_missing_fields_get_their_defaults():
    event = read()
    assert (event.type, event.value, event.timestamp) == ("view", 1.0, NOW_MS)
    assert event.event_id != read().event_id


def test_integer_ids_become_text():
    assert (read(user_id=7).user_id, read(item_id=-1).item_id) == ("7", "-1")


@given(st.text(max_size=300) | st.text(st.characters(max_codepoint=127), max_size=300))
@example("")
@example("x" * 256)
@example("x" * 257)
@example("\ud800")
@example("ä" * 128)
@example("ä" * 129)
def test_an_id_is_any_text_of_1_to_256_bytes_of_utf_8(text):
    size_bytes = len(text.encode(errors="replace"))
    is_allowed = 1 <= size_bytes <= 256 and not any("\ud800" <= sign <= "\udfff" for sign in text)
    with nullcontext() if is_allowed else pytest.raises(ValidationError):
        assert read(user_id=text).user_id == text


@pytest.mark.parametrize("value", [True, 1.5, None, ["u"], {"u": 1}])
def test_an_id_is_a_text_or_an_integer(value):
    with pytest.raises(ValidationError, match="Input should be a valid string"):
        read(user_id=value)


def test_rfc_3339_and_epoch_ms_mean_the_same():
    # 2026-01-02T03:04:05.678Z is 1767323045.678 s after the epoch.
    assert read(timestamp="2026-01-02T03:04:05.678Z").timestamp == 1_767_323_045_678
    assert read(timestamp="2026-01-02T04:04:05.678+01:00").timestamp == 1_767_323_045_678
    assert read(timestamp=1_767_323_045_678).timestamp == 1_767_323_045_678


def test_a_clock_up_to_five_minutes_ahead_counts_as_now():
    assert read(timestamp=NOW_MS + 300_000).timestamp == NOW_MS
    assert read(timestamp=NOW_MS - 1).timestamp == NOW_MS - 1


@pytest.mark.parametrize(
    "fields",
    [
        {"timestamp": NOW_MS + 300_001},
        {"timestamp": "2026-01-02T03:04:05"},
        {"timestamp": "yesterday"},
        {"timestamp": True},
        {"timestamp": 1.5},
        {"timestamp": -1},
        {"timestamp": 1_767_323_045},
        {"user_id": ""},
        {"user_id": "é" * 129},
        {"user_id": "\ud800"},
        {"user_id": None},
        {"user_id": True},
        {"item_id": 1.5},
        {"item_id": ["i"]},
        {"event_id": ""},
        {"type": ""},
        {"value": float("nan")},
        {"value": 1e39},
        {"value": "1"},
        {"value": True},
        {"position": "1"},
        {"position": True},
        {"position": -1},
        {"context": {"a": "x" * 1100}},
        {"context": {str(n): n for n in range(17)}},
        {"colour": "red"},
    ],
)
def test_a_field_that_is_not_allowed_is_refused(fields):
    with pytest.raises(ValidationError):
        read(**fields)


def test_a_timestamp_in_seconds_is_refused_with_the_fix():
    with pytest.raises(ValidationError, match="milliseconds since 1970, not seconds"):
        read(timestamp=1_767_323_045)


@given(
    user_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
    context=st.none() | st.dictionaries(st.text(max_size=5), st.integers() | st.none(), max_size=3),
    position=st.none() | st.integers(0, 2**31 - 1),
    value=st.floats(-3.4e38, 3.4e38),
)
def test_an_event_survives_the_stream(user_id, context, position, value):
    event = read(user_id=user_id, context=context, position=position, value=value)
    assert decode_event(wire(event)) == event


def test_every_event_has_the_same_stream_fields():
    full = read(event_id="e", recommendation_id="r", position=1, context={"a": 1})
    assert list(encode_event(full)) == list(encode_event(read())) == [*"euitv", "ts", *"rpc"]


def test_partitions_and_keys_never_change():
    # CRC-32 modulo 16, computed once with zlib: stored data depends on it.
    assert [partition_of(user) for user in ("u1", "a/b", "日本")] == [6, 12, 12]
    keys = keys_of("funds", 7)
    assert keys.events == "mr:funds:{p07}:events"
    assert keys.history("a b") == "mr:funds:{p07}:history:a b"
    assert keys.dedupe("e") == "mr:funds:{p07}:dedupe:e"
