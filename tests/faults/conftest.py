"""Real processes, killed at random moments. `FAULT_KILLS` says how often; 2 by default.

``FAULT_KILLS=20 python -m pytest tests/faults`` is what the published counts are from.
"""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from command_line import run_commands
from training_world import World


@pytest.fixture(scope="session")
def kills() -> int:
    """How often each process is killed."""
    return int(os.environ.get("FAULT_KILLS", "2"))


@pytest.fixture
def rng() -> random.Random:
    """Draws the moments; another sequence each time, told when the test fails."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201  # pytest shows it with a failure
    return random.Random(seed)


@pytest.fixture(scope="session")
def published_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which two small members are published, one of them trained by epochs."""
    home = tmp_path_factory.mktemp("faults")
    data = home / "data"
    quick = ("--set", "max_epochs=4", "--set", "eval_every=1", "--set", "num_threads=1")
    run_commands(
        home,
        ("import", "demo", data, "--users", 300, "--items", 100),
        ("train", data, "--model", "lightgcn", "--param", "embedding_dim=8", *quick),
        ("train", data, "--model", "itemcf", "--param", "rank=16"),
        ("ensemble", data, "--weight", 1.0, "--weight", 0.5),
        ("publish", data),
    )
    return home


@pytest.fixture
def world(published_catalog: Path, redis_url: str, tmp_path: Path) -> Iterator[World]:
    """A copy of it with an empty Redis; whatever was started in it ends with the test."""
    home = tmp_path / "home"
    shutil.copytree(published_catalog, home)
    with redis.Redis.from_url(redis_url) as client:
        world = World(home, redis_url, client)
        yield world
        world.end_all()
