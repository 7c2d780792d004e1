"""The Python client against the real application, in this process."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import redis
from bridge import Bridge
from fund_world import draft_of_world, make_world

from mutualrec.client import (
    Arm,
    AsyncClient,
    Boost,
    Cap,
    Client,
    Conflict,
    Event,
    Forbidden,
    InvalidRequest,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from service.events import keys_of, partition_of
from service.keys import create_key

pytestmark = pytest.mark.any_server

ROOT = Path(__file__).parents[2]
STRANGE_IDS = ["a/b", "..", ".", "ü n/ï?c=%2F#", "\n", "%41", "a+b c", "💡", "x" * 256, "\x00"]


@pytest.fixture
def service(start, deploy, redis_url):
    deploy()
    return start(redis_url=redis_url)


@pytest.fixture
def client(service):
    with Client("http://test", transport=Bridge(service)) as client:
        yield client


@pytest.fixture
def funds(start, deploy):
    deploy(draft_of_world(make_world()), "funds")
    with Client("http://test", transport=Bridge(start(audit_fsync=False))) as client:
        yield client


def stream_length(redis_url: str, user_id: str) -> int:
    with redis.Redis.from_url(redis_url) as server:
        return server.xlen(keys_of("default", partition_of(user_id)).events)


def test_importing_it_imports_nothing_of_the_service_that_computes() -> None:
    code = "import sys, mutualrec.client; print(*{name.split('.')[0] for name in sys.modules})"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    heavy = {"torch", "faiss", "numpy", "pyarrow", "redis", "fastapi", "uvicorn", "lark"}
    assert heavy & set(shown.stdout.split()) == set()


def test_recommendations_have_types(client):
    answer = client.recommend("u1", k=3, metadata=True, explain=True)
    assert [item.rank for item in answer.items] == [1, 2, 3]
    assert answer.items[0].metadata["title"].startswith("Item ")
    assert answer.items[0].score_parts[0].name == "bpr"
    assert (answer.user_id, answer.catalog, answer.degraded) == ("u1", "default", False)


def test_a_posted_item_is_not_recommended_again(client):
    first = client.recommend("u1", k=1).items[0].item_id
    assert client.post_interaction(Event(user_id="u1", item_id=first)).accepted == 1
    assert first not in {item.item_id for item in client.recommend("u1", k=12).items}


def test_rules_of_a_batch_reach_the_service(client):
    answer = client.recommend_many(
        ["u1", "u2"],
        k=4,
        exclude_items=["i5"],
        boosts=[Boost('title = "Item 9"', 10.0)],
        caps=[Cap("title", 1)],
        bury='title = "Item 0"',
        diversity=0.1,
    )
    assert [result.user_id for result in answer.results] == ["u1", "u2"]
    assert [result.items[0].item_id for result in answer.results] == ["i9", "i9"]
    assert "i5" not in {item.item_id for result in answer.results for item in result.items}


def test_pages_follow_each_other_until_the_list_ends(client):
    pages = list(client.recommend_pages("u1", k=4))
    listed = [item.item_id for page in pages for item in page.items]
    assert len({page.recommendation_id for page in pages}) == 1
    assert sorted(listed) == sorted({f"i{row}" for row in range(12)} - {"i1", "i2"})


def test_a_sessions_list_has_pages_too(client):
    pages = list(client.recommend_session_pages("s", k=6))
    assert [len(page.items) for page in pages] == [6, 6]


def test_a_session_is_served_and_joins_its_user(client):
    client.post_interaction(Event(session_id="s", item_id="i3"))
    assert client.recommend_session("s", k=2).session_id == "s"
    assert client.log_in("s", "new").joined == 1
    assert "i3" not in {item.item_id for item in client.recommend("new", k=12).items}


def test_popular_and_similar_items_are_listed(client):
    assert [item.item_id for item in client.popular(k=2).items] == ["i0", "i1"]
    answer = client.similar("i0", k=2, by="learned")
    assert (answer.item_id, len(answer.items)) == ("i0", 2)


def test_what_became_of_every_event_is_told(client):
    now = datetime.now(UTC)
    event = Event(user_id="u1", item_id="i3", timestamp=now, value=2.0, context={"page": "home"})
    answer = client.post_interactions([event, event], results=True, clock_may_be_wrong=True)
    assert [result.status for result in answer.results] == ["accepted", "duplicate"]


def test_a_stream_is_sent_in_bodies_and_counted_from_its_beginning(client, redis_url):
    good = [Event(user_id="u1", item_id=f"i{row}") for row in range(5)]
    late = Event(user_id="u1", item_id="i1", timestamp=4_000_000_000_000)
    answer = client.stream_interactions(iter([*good, late, late]), batch_size=2)
    assert (answer.accepted, [fault.index for fault in answer.rejected]) == (5, [5, 6])
    assert stream_length(redis_url, "u1") == 5


def test_a_body_of_a_stream_stays_small_enough_for_the_service(client):
    events = [
        Event(user_id="u1", item_id="i1", context={"text": "x" * 900}, event_id=f"e{number}")
        for number in range(1500)
    ]
    answer = client.stream_interactions(events, batch_size=1000)
    assert answer.accepted == 1500


@pytest.mark.parametrize("item_id", STRANGE_IDS)
def test_ids_may_have_any_character(client, item_id):
    assert client.recommend(item_id, k=1).user_id == item_id
    assert client.items.put(item_id, metadata={"title": "new"}).item_id == item_id
    assert client.items.get(item_id).metadata == {"title": "new"}
    client.items.delete(item_id)
    with pytest.raises(NotFound, match="PUT adds it"):
        client.items.get(item_id)


@pytest.mark.parametrize("item_id", ["", "x" * 257, "\ud800"])
def test_what_is_no_id_is_refused_before_it_is_sent(client, item_id):
    with pytest.raises(ValueError, match=r"ids have 1 to 256|surrogates"):
        client.items.get(item_id)


def test_unknown_options_are_refused(client):
    with pytest.raises(TypeError, match="no option 'kk'; there are: catalog"):
        client.recommend("u1", kk=3)


def test_an_item_can_be_changed(client):
    assert client.items.patch("i1", hidden=True).hidden
    assert client.items.get("i1").recommendable is False


def test_versions_can_be_compared_promoted_pinned_and_pruned(client, deploy):
    first = client.recommend("u1").model_version
    second = deploy()
    assert [entry.version for entry in client.versions.list().versions] == [first, second]
    assert client.versions.diff(first, second).new == second
    assert client.versions.rollback().current == first
    assert client.versions.pin(first).pinned == first
    with pytest.raises(Conflict, match="pinned"):
        client.versions.promote(second)
    assert client.versions.unpin().current == first
    assert client.versions.promote(second).before == first
    assert client.versions.prune(1, dry_run=True).deleted == []


def test_capacity_can_be_estimated(client):
    own, larger = client.versions.capacity(1000), client.versions.capacity(1000, users=10_000)
    assert own.users < larger.users == 10_000
    assert 0 < own.redis_bytes < larger.redis_bytes
    with pytest.raises(TypeError, match="no option 'user'"):
        client.versions.capacity(1000, user=1)


def test_a_training_can_be_asked_for_and_followed(client):
    asked = client.versions.train()
    status = client.versions.training()
    assert status.request is not None
    assert (status.request.request_id, status.request.state) == (asked.request_id, "waiting")


def test_experiments_can_be_started_read_and_deleted(client):
    arms = [Arm(name="a", share=0.5), Arm(name="b", share=0.5, rules={"diversity": 0.4})]
    assert client.experiments.put("diverse", arms, description="?").running
    client.recommend("u1")
    report = client.experiments.get("diverse", days=2)
    assert sum(arm.metrics.recommendations for arm in report.arms) == 1
    assert [one.name for one in client.experiments.list().experiments] == ["diverse"]
    client.experiments.delete("diverse")
    assert client.experiments.list().experiments == []


def test_fund_companies_can_be_asked_about(funds):
    assert funds.funds.find("f01", k=1).funds[0].fund_id == "f01"
    assert funds.funds.get("f01", k=2).holdings
    assert funds.funds.similar("f01", k=2, by="learned").by == "learned"
    assert funds.funds.trends(k=3, per_fund=10).per_fund == 10
    answer = funds.funds.investments("f01", k=3, sector=["Energy"], held="mark")
    assert {found.sector for found in answer.investments} == {"Energy"}
    assert funds.companies.find("c", k=1).companies[0].company_id == "c000"
    assert funds.companies.get("c001").company_id == "c001"
    assert funds.companies.investors("c001", k=2).holders


def test_a_fund_may_be_called_as_an_endpoint(funds):
    with pytest.raises(NotFound, match="'trends'"):
        funds.funds.get("trends")


def test_problems_become_errors_that_name_the_fix(client):
    with pytest.raises(InvalidRequest, match="at most 500") as caught:
        client.recommend("u1", k=501)
    assert (caught.value.status, caught.value.kind) == (422, "validation-failed")
    assert caught.value.request_id
    with pytest.raises(NotFound) as missing:
        client.similar("nothing")
    assert missing.value.kind == "unknown-item"
    with pytest.raises(InvalidRequest) as refused:
        client.post_interaction(Event(user_id="u1", item_id="i1", timestamp=1))
    assert refused.value.errors[0]["index"] == 0


def test_without_a_store_events_are_unavailable(start, deploy):
    deploy()
    client = Client("http://test", transport=Bridge(start()))
    with pytest.raises(Unavailable, match="MUTUALREC_REDIS_URL") as caught:
        client.post_interaction(Event(user_id="u1", item_id="i1"))
    assert caught.value.retry_after_s == 60


def test_keys_open_the_service_and_limits_are_kept(start, deploy, tmp_path, redis_url):
    deploy()
    key = create_key(tmp_path / "keys.json", "app", ["read"], limit=2)
    bridge = Bridge(start(redis_url=redis_url, rate_window_s=600))
    with pytest.raises(Unauthorized, match="has no API key"):
        Client("http://test", transport=bridge).popular()
    waited: list[float] = []
    client = Client(
        "http://test", transport=bridge, api_key=key, sleep=waited.append, clock=lambda: 0.0
    )
    with pytest.raises(Forbidden, match="needs write"):
        client.post_interaction(Event(user_id="u1", item_id="i1"))
    client.popular()
    client.popular()
    with pytest.raises(RateLimited, match="ask again in") as caught:
        client.popular()
    # One request takes half of the window; more than 30 s the client does not wait by default.
    assert waited == [30.0]
    assert caught.value.retry_after_s > 30


async def _events():
    for number in range(5):
        yield Event(user_id="u1", item_id=f"i{number}")


def test_the_asynchronous_client_does_the_same(service, redis_url):
    async def story() -> None:
        transport = httpx.ASGITransport(service.app)
        async with AsyncClient("http://test", transport=transport) as client:
            users = ["u1", "u/2", ".."]
            answers = await asyncio.gather(*(client.recommend(user, k=2) for user in users))
            assert [answer.user_id for answer in answers] == users
            pages = [page async for page in client.recommend_pages("u1", k=5)]
            assert [len(page.items) for page in pages] == [5, 5]
            assert (await client.stream_interactions(_events(), batch_size=2)).accepted == 5
            assert (await client.post_interactions([Event(user_id="u", item_id="i")])).accepted
            assert (await client.items.put("new", metadata={"title": "t"})).metadata["title"] == "t"
            await client.items.delete("new")
            assert len((await client.versions.list()).versions) == 1
            assert (await client.versions.capacity(0)).redis["histories"] > 0
            asked = await client.versions.train()
            assert (await client.versions.training()).request.request_id == asked.request_id
            assert (await client.experiments.list()).experiments == []
            with pytest.raises(NotFound, match="no item"):
                await client.similar("nothing")
            with pytest.raises(NotFound, match="funds"):
                await client.funds.get("f01")
            with pytest.raises(NotFound, match="funds"):
                await client.companies.get("c01")

    service.run(story())
    assert stream_length(redis_url, "u1") == 5


@pytest.mark.parametrize("name", [name for name in dir(Client) if not name.startswith("_")])
def test_both_clients_can_do_the_same(name):
    assert hasattr(AsyncClient, name)


def test_a_user_can_be_exported_and_erased(client):
    client.post_interaction(Event(user_id="ann", item_id="i3", type="view", context={"page": 1}))
    told = client.users.export("ann")
    assert [entry.item_id for entry in told.history] == ["i3"]
    assert told.waiting_events[0].context == {"page": 1}
    assert client.users.erase("ann").history == 1
    assert client.users.export("ann").history == []
