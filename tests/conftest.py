import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from benchmarks.servers import redis_program, running
from mutualrec.valkey import private_valkey

# Without the program's prefix: it refuses variables with its prefix that it does not know.
GIVEN_SERVER = os.environ.get("TEST_REDIS_URL")
GIVEN_PROGRAM = os.environ.get("TEST_SERVER", "valkey")

# Nothing is timed: a machine with other things to do is no fault of the code.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Refuses servers that the tests cannot use, before any of several workers starts."""
    if GIVEN_SERVER is not None and config.getoption("numprocesses", None):
        raise pytest.UsageError("TEST_REDIS_URL names one server, which each worker empties: -n 0")
    if GIVEN_PROGRAM not in ("valkey", "redis"):
        raise pytest.UsageError(f"TEST_SERVER is valkey or redis, not {GIVEN_PROGRAM}")
    if GIVEN_PROGRAM == "redis" and redis_program() is None:
        raise pytest.UsageError("TEST_SERVER=redis needs a redis-server on this machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what works on the server of the session, for runs on another one: ``-m store``."""
    for item in items:
        if "valkey_url" in getattr(item, "fixturenames", ()):
            item.add_marker("store")


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server for the whole test session; `redis_url` empties it for each test.

    By default a private Valkey server; with TEST_SERVER=redis the `redis-server` of this machine.
    TEST_REDIS_URL names one that runs already: the tests run FLUSHALL on it, so never name one that
    holds anything of value. Each of several workers (`-n`) has a server of its own.
    """
    if GIVEN_SERVER is not None:
        yield GIVEN_SERVER
        return
    if GIVEN_PROGRAM == "redis" and (program := redis_program()):
        with running(program, tmp_path_factory.mktemp("redis")) as server:
            yield server.url
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
