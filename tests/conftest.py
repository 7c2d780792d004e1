import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mutualrec.valkey import private_valkey

# Taken out of the environment: the program refuses variables with its prefix that it does not know.
GIVEN_SERVER = os.environ.pop("MUTUALREC_TEST_REDIS_URL", None)


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server for the whole test session; `redis_url` empties it for each test.

    By default a private Valkey server. MUTUALREC_TEST_REDIS_URL names another one, such as a
    Redis 7.0: the tests run FLUSHALL on it, so never name one that holds anything of value.
    """
    if GIVEN_SERVER is not None:
        yield GIVEN_SERVER
        return
    with private_valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    import redis

    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    return valkey_url


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real data sets that lie beside the project, never inside it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets are not here: expected ../shared/data")
    return folder
