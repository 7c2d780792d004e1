import asyncio

import pytest

from service.errors import StoreUnavailable
from service.keys import ApiKey, create_key, rotate_key
from service.rate_limit import SHARE, RateLimiter

HOUR = 3600


class Quota:
    """Grants requests from one pool; counts how often it is asked."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.asked = 0

    async def evaluate(self, _script: str, _key: str, *arguments: int) -> list[int]:
        self.asked += 1
        await asyncio.sleep(0)
        granted = min(arguments[2], self.free)
        self.free -= granted
        return [granted, self.free, 0 if granted else 5000, 60_000]


class Down:
    async def evaluate(self, _script: str, _key: str, *_arguments: int) -> list[int]:
        raise StoreUnavailable("no reply")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Limited:
    """A limiter with a clock that stands, and how many requests passed unchecked."""

    def __init__(self, store, limit: int | None = 1000) -> None:
        self.clock = Clock()
        self.unchecked = 0
        self.limiter = RateLimiter(limit, 60, on_unchecked=self.count, clock=self.clock)
        self.limiter.store = store

    def count(self) -> None:
        self.unchecked += 1

    def take(self, times: int, key: ApiKey | None = None) -> list[bool | None]:
        key = key or ApiKey("shop", frozenset({"read"}))

        async def together() -> list[bool | None]:
            taken = await asyncio.gather(*(self.limiter.take(key) for _ in range(times)))
            return [None if one is None else one.allowed for one in taken]

        return asyncio.run(together())


def test_a_busy_key_hardly_ever_asks_the_store():
    quota = Quota(1000)
    limited = Limited(quota)
    assert limited.take(500) == [True] * 500
    assert quota.asked <= 15  # 1 + 2 + 4 + ... + 32, then 50 at a time


def test_no_more_pass_than_the_store_grants():
    limited = Limited(Quota(20), limit=1000)
    assert limited.take(100).count(True) == 20


def test_at_most_a_twentieth_is_reserved():
    quota = Quota(1000)
    Limited(quota).take(400)
    assert 1000 - quota.free <= 400 + 1000 // SHARE


def test_a_rare_request_reserves_nothing_beyond_itself():
    quota = Quota(1000)
    limited = Limited(quota)
    for _ in range(5):
        limited.take(1)
        limited.clock.now += 10
    assert quota.free == 995


def test_what_is_reserved_is_forgotten_after_a_second():
    quota = Quota(1000)
    limited = Limited(quota)
    limited.take(40)
    limited.clock.now += 2
    asked = quota.asked
    limited.take(1)
    assert quota.asked == asked + 1


def test_a_refused_key_asks_the_store_again_only_when_it_may_pass():
    quota = Quota(0)
    limited = Limited(quota)
    assert limited.take(50) == [False] * 50
    assert quota.asked == 1
    quota.free = 10
    limited.clock.now += 6
    assert limited.take(1) == [True]


def test_without_a_reply_of_the_store_requests_pass_and_are_counted():
    limited = Limited(Down())
    assert limited.take(3) == [None, None, None]
    assert limited.unchecked == 3


@pytest.mark.parametrize("limit", [None, 10])
def test_a_key_s_own_limit_counts_before_the_general_one(limit):
    limited = Limited(Quota(10**6), limit)
    key = ApiKey("shop", frozenset({"read"}), limit=77)
    assert asyncio.run(limited.limiter.take(key)).limit == 77


def test_without_any_limit_nothing_is_asked():
    quota = Quota(0)
    assert Limited(quota, None).take(3) == [None, None, None]
    assert quota.asked == 0


def ask(client, token: str, times: int) -> list[int]:
    headers = {"X-API-Key": token}
    return [client.get("/recommend/u1", headers=headers).status_code for _ in range(times)]


def test_a_key_over_its_limit_gets_429_that_says_when_to_come_again(
    start, deploy, tmp_path, redis_url
):
    deploy()
    token = create_key(tmp_path / "keys.json", "shop", ["read"])
    client = start(redis_url=redis_url, rate_limit=3, rate_window_s=HOUR)
    assert ask(client, token, 3) == [200, 200, 200]
    response = client.get("/recommend/u1", headers={"X-API-Key": token})
    assert response.status_code == 429
    assert 0 < int(response.headers["retry-after"]) <= HOUR / 3
    assert response.headers["ratelimit-policy"] == f'"key";q=3;w={HOUR}'
    assert response.headers["ratelimit"].startswith('"key";r=0;t=')
    assert "3 times" in response.json()["detail"]


def test_what_is_left_is_in_every_answer(start, deploy, tmp_path, redis_url):
    deploy()
    token = create_key(tmp_path / "keys.json", "shop", ["read"], limit=10)
    client = start(redis_url=redis_url, rate_window_s=HOUR)
    left = [
        client.get("/recommend/u1", headers={"X-API-Key": token}).headers["ratelimit"]
        for _ in range(2)
    ]
    assert [value.split(";")[1] for value in left] == ["r=9", "r=8"]


def test_processes_share_a_limit_and_a_rotation_does_not_renew_it(
    start, deploy, tmp_path, redis_url
):
    deploy()
    path = tmp_path / "keys.json"
    old = create_key(path, "shop", ["read"])
    new = rotate_key(path, "shop")
    other = create_key(path, "app", ["read"])
    first, second = (start(redis_url=redis_url, rate_limit=4, rate_window_s=HOUR) for _ in range(2))
    assert ask(first, old, 2) + ask(second, new, 3) == [200, 200, 200, 200, 429]
    assert ask(second, other, 1) == [200]


def test_a_used_up_limit_grows_back_with_time(start, deploy, tmp_path, redis_url):
    deploy()
    token = create_key(tmp_path / "keys.json", "shop", ["read"])
    client = start(redis_url=redis_url, rate_limit=2, rate_window_s=1)
    statuses = [ask(client, token, 1)[0] for _ in range(3)]
    while statuses[-1] == 429:
        statuses += ask(client, token, 1)
    assert statuses[-1] == 200


def test_probes_are_never_limited(start, deploy, tmp_path, redis_url):
    deploy()
    create_key(tmp_path / "keys.json", "shop", ["read"])
    client = start(redis_url=redis_url, rate_limit=1, rate_window_s=HOUR)
    assert [client.get("/health/ready").status_code for _ in range(3)] == [200, 200, 200]


def test_without_redis_no_key_is_limited(start, deploy, tmp_path):
    deploy()
    token = create_key(tmp_path / "keys.json", "shop", ["read"])
    client = start(redis_url="unix:///nowhere/redis.sock", rate_limit=1)
    assert ask(client, token, 3) == [200, 200, 200]
    assert "mutualrec_rate_limit_unchecked_total 3.0" in client.get("/metrics").text
