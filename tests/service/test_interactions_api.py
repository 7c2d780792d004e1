import json
import time

import pytest
import redis

from service.events import PARTITIONS, keys_of, partition_of

EVENT = {"user_id": "u1", "item_id": "i0"}


@pytest.fixture
def client(start, redis_url):
    return start(redis_url=redis_url)


@pytest.fixture
def stored(redis_url):
    def count(catalog: str = "default") -> int:
        with redis.Redis.from_url(redis_url) as server:
            return sum(server.xlen(keys_of(catalog, p).events) for p in range(PARTITIONS))

    return count


def test_one_event_is_accepted(client, stored):
    response = client.post("/interactions", json=EVENT)
    assert response.status_code == 202
    assert response.json() == {"accepted": 1, "duplicates": 0, "rejected": []}
    assert stored() == 1


@pytest.mark.parametrize(
    "options",
    [
        {"json": [EVENT, EVENT]},
        {"json": {"events": [EVENT, EVENT]}},
        {
            "content": f"{json.dumps(EVENT)}\n\n{json.dumps(EVENT)}\n",
            "headers": {"content-type": "application/x-ndjson; charset=utf-8"},
        },
        {"content": json.dumps([EVENT, EVENT])},
    ],
)
def test_batches_come_in_any_documented_form(client, stored, options):
    assert client.post("/interactions", **options).json()["accepted"] == 2
    assert stored() == 2


def test_the_versioned_path_answers_too(client):
    assert client.post("/v1/interactions", json=EVENT).status_code == 202


def test_a_retry_with_the_same_event_id_is_a_duplicate(client, stored):
    event = EVENT | {"event_id": "e"}
    client.post("/interactions", json=event)
    assert client.post("/interactions", json=event).json() == {
        "accepted": 0,
        "duplicates": 1,
        "rejected": [],
    }
    assert stored() == 1


def test_an_idempotency_key_makes_a_retry_harmless(client, stored):
    options = {"json": [EVENT, EVENT], "headers": {"Idempotency-Key": "key"}}
    assert client.post("/interactions", **options).json()["accepted"] == 2
    assert client.post("/interactions", **options).json()["duplicates"] == 2
    assert stored() == 2


def test_valid_events_are_taken_and_the_others_explained(client, stored):
    events = [EVENT, {"user_id": "u1"}, 7, EVENT | {"colour": "red"}]
    body = client.post("/interactions", json=events).json()
    assert (body["accepted"], stored()) == (1, 1)
    assert body["rejected"] == [
        {"index": 1, "error": "item_id: Field required"},
        {"index": 2, "error": "an event is an object, this is int"},
        {"index": 3, "error": "colour: Extra inputs are not permitted"},
    ]


def test_a_broken_ndjson_line_is_rejected_alone(client):
    content = f"{json.dumps(EVENT)}\n{{broken\n"
    body = client.post(
        "/interactions", content=content, headers={"content-type": "application/x-ndjson"}
    ).json()
    assert (body["accepted"], body["rejected"][0]["index"]) == (1, 1)


def test_results_say_what_became_of_each_event(client):
    events = [EVENT | {"event_id": "a"}, {"user_id": ""}, EVENT | {"event_id": "a"}]
    assert client.post("/interactions?results=true", json=events).json()["results"] == [
        {"index": 0, "event_id": "a", "status": "accepted"},
        {
            "index": 1,
            "status": "rejected",
            "error": "item_id: Field required; user_id: Value error, an id has 1 to 256 bytes of"
            " UTF-8, this one 0",
        },
        {"index": 2, "event_id": "a", "status": "duplicate"},
    ]


def test_events_are_kept_per_catalog(start, deploy, redis_url, stored):
    deploy(None, "funds")
    start(redis_url=redis_url).post("/interactions?catalog=funds", json=EVENT)
    assert (stored("funds"), stored("default")) == (1, 0)


def test_events_are_taken_before_anything_was_published(client, stored):
    assert client.post("/interactions", json=EVENT).status_code == 202
    assert stored() == 1


def test_a_type_the_catalog_does_not_have_is_rejected_with_those_it_has(
    start, deploy, make_draft, redis_url
):
    deploy(make_draft(recipe={"event_types": {"buy": {"sign": "positive"}, "hide": {}}}))
    response = start(redis_url=redis_url).post("/interactions", json=EVENT | {"type": "bye"})
    assert response.status_code == 422
    assert "buy, hide" in response.json()["errors"][0]["error"]


def test_an_event_without_type_gets_the_catalogs_first_positive_one(
    start, deploy, make_draft, redis_url
):
    types = {"hide": {"sign": "negative"}, "buy": {"sign": "positive"}}
    deploy(make_draft(recipe={"event_types": types}))
    assert start(redis_url=redis_url).post("/interactions", json=EVENT).status_code == 202
    with redis.Redis.from_url(redis_url) as server:
        streams = [keys_of("default", p).events for p in range(PARTITIONS)]
        [(_, fields)] = [entry for stream in streams for entry in server.xrange(stream)]
    assert fields[b"t"] == b"buy"


@pytest.mark.parametrize(
    ("options", "status", "title"),
    [
        ({"content": "{"}, 400, "Bad request"),
        ({"content": ""}, 400, "Bad request"),
        ({"json": []}, 422, "Validation failed"),
        ({"json": {"user_id": "u"}}, 422, "Validation failed"),
        ({"json": "text"}, 422, "Validation failed"),
        ({"json": [EVENT] * 1001}, 413, "Payload too large"),
        ({"json": EVENT, "params": {"catalog": "nope"}}, 404, "Unknown catalog"),
        ({"json": EVENT, "params": {"results": "maybe"}}, 422, "Validation failed"),
        ({"json": EVENT, "headers": {"Idempotency-Key": ""}}, 422, "Validation failed"),
        ({"data": {"a": "b"}}, 415, "Unsupported media type"),
        ({"json": EVENT, "headers": {"content-encoding": "gzip"}}, 415, "Unsupported media type"),
    ],
)
def test_bad_requests_get_the_documented_problem(client, stored, options, status, title):
    response = client.post("/interactions", **options)
    body = response.json()
    assert (response.status_code, body["title"], body["status"]) == (status, title, status)
    assert response.headers["content-type"] == "application/problem+json"
    assert body["request_id"] == response.headers["x-request-id"]
    assert stored() == 0


def test_an_announced_body_that_is_too_large_is_refused(start, redis_url):
    client = start(redis_url=redis_url, max_body_bytes=100)
    response = client.post("/interactions", content=b"x" * 101)
    assert (response.status_code, response.json()["title"]) == (413, "Payload too large")


def test_a_body_that_is_too_large_without_saying_so_is_refused(start, redis_url):
    async def chunks():
        for _ in range(30):
            yield b"x" * 10

    client = start(redis_url=redis_url, max_body_bytes=100)
    response = client.post("/interactions", content=chunks())
    assert "content-length" not in response.request.headers
    assert (response.status_code, response.json()["title"]) == (413, "Payload too large")


def test_a_body_may_come_in_pieces(client, stored):
    async def pieces():
        for piece in (b'{"user_id": "u', b'1", "item', b'_id": "i1"}'):
            yield piece

    response = client.post("/interactions", content=pieces())
    assert (response.status_code, response.json()["accepted"]) == (202, 1)
    assert stored() == 1


@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key"])
def test_of_a_header_that_is_sent_twice_the_first_one_holds(client, stored, name):
    headers = [(name, "first"), (name, "second")]
    assert client.post("/interactions", json=EVENT, headers=headers).json()["accepted"] == 1
    headers = [(name, "first"), (name, "third")]
    assert client.post("/interactions", json=EVENT, headers=headers).json()["duplicates"] == 1
    assert stored() == 1


def test_a_sender_who_goes_away_is_no_failure_of_the_service(client, stored, capsys):
    async def gone():
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError(f"nobody is left to receive {message}")

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/interactions",
        "raw_path": b"/interactions",
        "query_string": b"",
        "headers": [(b"content-length", b"100")],
    }
    client.run(client.app(scope, gone, send))
    counted = client.get("/metrics").text
    assert 'mutualrec_requests_total{method="POST",route="/interactions",status="499"} 1' in counted
    assert "request failed" not in capsys.readouterr().err
    assert stored() == 0


@pytest.mark.parametrize("url", ["unix:///nowhere/redis.sock", None])
def test_nothing_is_acknowledged_when_redis_is_down(start, url):
    response = start(redis_url=url).post("/interactions", json=EVENT)
    assert (response.status_code, response.json()["title"]) == (503, "Event store unavailable")
    assert int(response.headers["retry-after"]) >= 1


def test_a_full_store_names_the_events_that_it_did_not_take(start, redis_url, stored):
    client = start(redis_url=redis_url, max_waiting_events=16)
    events = [{"user_id": ""}, EVENT | {"event_id": "a"}, EVENT | {"event_id": "b"}]
    response = client.post("/interactions", json=events)
    body = response.json()
    assert (response.status_code, body["title"]) == (503, "Event store full")
    assert body["errors"] == [{"index": 2, "error": "the stream is full"}]
    assert int(response.headers["retry-after"]) >= 1
    assert stored() == 1


def test_a_wrong_clock_is_corrected_by_the_time_of_sending(client, redis_url):
    # The sender's clock is in 2020: it sent the event an hour after it happened.
    sent_ms = 1_577_836_800_000
    event = EVENT | {"timestamp": sent_ms - 3_600_000}
    before_ms = time.time_ns() // 1_000_000
    client.post("/interactions", json=event, headers={"Sent-At": str(sent_ms)})
    with redis.Redis.from_url(redis_url) as server:
        stream = keys_of("default", partition_of("u1")).events
        [(_, fields)] = server.xrange(stream)
    assert 0 <= int(fields[b"ts"]) - (before_ms - 3_600_000) < 60_000


@pytest.mark.parametrize("sent_at", ["yesterday", "2026-01-01T00:00:00", ""])
def test_a_time_of_sending_that_is_none_is_refused(client, stored, sent_at):
    response = client.post("/interactions", json=EVENT, headers={"Sent-At": sent_at})
    assert response.status_code == 422
    assert "Sent-At" in response.json()["detail"]
    assert stored() == 0


def test_durable_events_are_taken_or_refused_with_501_where_the_server_is_too_old(client, stored):
    response = client.post("/interactions?durability=sync", json=EVENT)
    assert response.status_code in (202, 501), response.text
    assert stored() == (response.status_code == 202)
