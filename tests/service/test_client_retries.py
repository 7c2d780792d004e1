"""What the Python client sends again, when, and that nothing is ever done twice by it."""

import asyncio
import random
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
import redis
from bridge import Bridge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mutualrec.client import (
    AsyncClient,
    Client,
    Event,
    InvalidAnswer,
    RateLimited,
    Retry,
    StreamInterrupted,
    Unavailable,
    Unreachable,
)
from service.events import keys_of, partition_of

RETRY = Retry(attempts=5)
PROBLEM = {"type": "urn:mutualrec:problem:not-ready", "title": "Not ready", "detail": "wait"}


class Lossy(httpx.BaseTransport):
    """Loses requests on the way there, or answers on the way back, as it is told."""

    def __init__(self, way: httpx.BaseTransport, fates: Sequence[str]) -> None:
        self._way = way
        self._fates = list(fates)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        fate = self._fates.pop(0) if self._fates else "arrives"
        if fate == "request lost":
            raise httpx.ReadTimeout("lost", request=request)
        response = self._way.handle_request(request)
        if fate == "answer lost":
            raise httpx.RemoteProtocolError("lost", request=request)
        return response


class Scripted:
    """Answers as it is told; the last answer is given again and again."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.waited: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def client(self, retry: Retry = RETRY, clock: Callable[[], float] = lambda: 0.0) -> Client:
        return Client(
            "http://test",
            retry=retry,
            transport=httpx.MockTransport(self),
            sleep=self.waited.append,
            clock=clock,
            rng=random.Random(0),
        )


def refused(status: int, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, json=PROBLEM | {"status": status})


def taken(accepted: int = 1) -> httpx.Response:
    return httpx.Response(202, json={"accepted": accepted, "duplicates": 0, "rejected": []})


POPULAR = httpx.Response(
    200, json={"model_version": "v", "catalog": "c", "as_of": None, "items": [], "took_ms": 1.0}
)


@pytest.fixture
def service(start, deploy, redis_url):
    deploy()
    return start(redis_url=redis_url)


def stored(redis_url: str, user_id: str) -> list[str]:
    with redis.Redis.from_url(redis_url) as server:
        entries = server.xrange(keys_of("default", partition_of(user_id)).events)
    return [fields[b"e"].decode() for _, fields in entries if fields[b"u"].decode() == user_id]


FATES = st.sampled_from(["arrives", "request lost", "answer lost"])


@given(fates=st.lists(FATES, max_size=12), sizes=st.lists(st.integers(1, 4), max_size=4))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_however_much_is_lost_every_event_is_taken_once(service, redis_url, fates, sizes):
    user = uuid.uuid4().hex
    client = Client(
        "http://test",
        retry=Retry(attempts=20),
        transport=Lossy(Bridge(service), fates),
        sleep=lambda _: None,
    )
    events = [Event(user_id=user, item_id=f"i{row}") for row in range(sum(sizes) + 2)]
    client.post_interaction(events[0])
    for size in sizes:
        client.post_interactions(events[:size])
    client.stream_interactions(events, batch_size=3)
    assert sorted(stored(redis_url, user)) == sorted(event.event_id for event in events)


def test_an_interrupted_stream_goes_on_where_it_stopped(service, redis_url):
    fates = ["arrives", "answer lost", "request lost"]
    transport = Lossy(Bridge(service), fates)
    client = Client(
        "http://test", retry=Retry(attempts=2), transport=transport, sleep=lambda _: None
    )
    source = iter([Event(user_id="u1", item_id=f"i{row}") for row in range(6)])
    with pytest.raises(StreamInterrupted, match="2 events were taken before; send the 3") as caught:
        client.stream_interactions(source, batch_size=2)
    # The fifth event was read ahead, to see that the second body is full.
    client.stream_interactions([*caught.value.unsent, *source], batch_size=2)
    assert len(set(stored(redis_url, "u1"))) == 6


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_passing_refusal_is_asked_again(status):
    script = Scripted(refused(status), POPULAR)
    assert script.client().popular().catalog == "c"
    assert len(script.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 501])
def test_a_lasting_refusal_is_not(status):
    script = Scripted(refused(status))
    with pytest.raises(Exception, match=f"{status} Not ready: wait"):
        script.client().popular()
    assert len(script.requests) == 1


def test_events_keep_their_ids_when_they_are_sent_again():
    script = Scripted(httpx.ReadTimeout("late"), refused(503), taken())
    script.client().post_interaction(Event(user_id="u", item_id="i"))
    bodies = {request.content for request in script.requests}
    assert len(script.requests) == 3
    assert len(bodies) == 1


CHANGES: dict[str, Callable[[Client], object]] = {
    "patch": lambda client: client.items.patch("i", hidden=True),
    "delete": lambda client: client.items.delete("i"),
    "rollback": lambda client: client.versions.rollback(),
    "prune": lambda client: client.versions.prune(3),
    "forget": lambda client: client.experiments.delete("e"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_may_have_been_done_is_not_done_again(change):
    script = Scripted(httpx.ReadTimeout("late"))
    with pytest.raises(Unreachable, match="may have been done, so it was not sent again"):
        change(script.client())
    refusing = Scripted(refused(503))
    with pytest.raises(Unavailable):
        change(refusing.client())
    assert (len(script.requests), len(refusing.requests)) == (1, 1)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_was_certainly_not_done_is_sent_again(change):
    script = Scripted(httpx.ConnectError("down"), refused(429), refused(404))
    with pytest.raises(Exception, match="404"):
        change(script.client())
    assert len(script.requests) == 3


def test_waits_grow_and_are_drawn_at_random():
    script = Scripted(httpx.ConnectError("down"))
    with pytest.raises(Unreachable, match=r"GET /v1/popular after 5 attempt\(s\): down; see that"):
        script.client(Retry(attempts=5, base_s=1.0, longest_s=3.0)).popular()
    rng = random.Random(0)
    assert script.waited == [rng.uniform(0, longest) for longest in (1.0, 2.0, 3.0, 3.0)]


def test_what_the_service_asks_to_wait_is_waited():
    in_a_while = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    script = Scripted(refused(503, retry_after="7"), refused(429, retry_after=in_a_while), POPULAR)
    script.client(Retry(base_s=0.0)).popular()
    assert script.waited[0] == 7.0
    assert 15 < script.waited[1] <= 20


def test_who_is_asked_to_wait_too_long_is_told_at_once():
    script = Scripted(refused(429, retry_after="31"))
    with pytest.raises(RateLimited) as caught:
        script.client().popular()
    assert (caught.value.retry_after_s, script.waited) == (31.0, [])


def limited(remaining: int) -> httpx.Response:
    fields = {"RateLimit-Policy": '"key";q=10;w=60', "RateLimit": f'"key";r={remaining};t=60'}
    return httpx.Response(200, headers=fields, content=POPULAR.content)


def test_a_client_at_its_limit_waits_until_one_request_is_free():
    script = Scripted(limited(1), limited(0), POPULAR)
    client = script.client()
    client.popular()
    client.popular()
    assert script.waited == []
    client.popular()
    assert script.waited == [6.0]


def test_one_attempt_is_no_retry():
    script = Scripted(httpx.ConnectError("down"))
    with pytest.raises(Unreachable):
        script.client(Retry(attempts=1)).popular()
    assert len(script.requests) == 1
    with pytest.raises(ValueError, match="attempts must be at least 1"):
        Retry(attempts=0)


def test_an_answer_of_somebody_else_is_an_error():
    with pytest.raises(InvalidAnswer, match="client and service are of one version"):
        Scripted(httpx.Response(200, html="<h1>Welcome</h1>")).client().popular()
    with pytest.raises(Unavailable, match="502 Bad Gateway: upstream"):
        Scripted(httpx.Response(502, text="upstream")).client(Retry(attempts=1)).popular()


def test_a_key_that_cannot_be_one_is_refused():
    with pytest.raises(ValueError, match="mutualrec keys create"):
        Client("http://test", api_key="\n")


def test_the_asynchronous_client_sends_again_too():
    script = Scripted(httpx.ReadTimeout("late"), refused(503, retry_after="2"), taken())

    async def sleep(seconds: float) -> None:
        script.waited.append(seconds)

    async def story() -> int:
        transport = httpx.MockTransport(script)
        async with AsyncClient("http://test", transport=transport, sleep=sleep) as client:
            return (await client.post_interaction(Event(user_id="u", item_id="i"))).accepted

    assert asyncio.run(story()) == 1
    assert (len(script.requests), script.waited[-1] >= 2) == (3, True)


def test_a_stream_of_the_asynchronous_client_says_where_it_stopped():
    script = Scripted(taken(2), httpx.ConnectError("down"))

    async def story() -> None:
        transport = httpx.MockTransport(script)
        once = Retry(attempts=1)
        async with AsyncClient("http://test", transport=transport, retry=once) as client:
            await client.stream_interactions(
                [Event(user_id="u", item_id=f"i{row}") for row in range(3)], batch_size=2
            )

    with pytest.raises(StreamInterrupted) as caught:
        asyncio.run(story())
    assert [event.item_id for event in caught.value.unsent] == ["i2"]
    assert caught.value.taken.accepted == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"item_id": "i"},
        {"item_id": "", "user_id": "u"},
        {"item_id": "i", "user_id": "u", "timestamp": datetime(2026, 1, 1)},
    ],
)
def test_an_event_that_is_none_is_refused_when_it_is_made(wrong):
    with pytest.raises(ValueError, match=r"somebody's|1 to 256|time zone"):
        Event(**wrong)
