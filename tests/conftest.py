from collections.abc import Iterator

import pytest

from mutualrec.valkey import private_valkey


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server for the whole test session; `redis_url` empties it for each test."""
    with private_valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    import redis

    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    return valkey_url
