import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest

from service.app import create_app
from service.artifact import (
    ArtifactDraft,
    Block,
    DatasetRef,
    Member,
    set_current,
    write_artifact,
)
from service.settings import Settings
from service.state import ServiceState

DraftMaker = Callable[..., ArtifactDraft]
Publisher = Callable[..., str]

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def _draft(
    num_users: int = 6, num_items: int = 12, width: int = 4, seed: int = 0, **changes: object
) -> ArtifactDraft:
    """One learned block; user u has seen the items u and u + 1."""
    rng = np.random.default_rng(seed)
    values: dict[str, object] = {
        "dataset": DatasetRef(name="tiny", fingerprint="0" * 64),
        "split": "official",
        "ensemble": "concat",
        "members": [Member(model="bpr", seed=seed, weight=1.0)],
        "blocks": [Block("bpr", "learned", 0, width, 1.0, zscore=False)],
        "users": rng.normal(size=(num_users, width)).astype(np.float32),
        "items": rng.normal(size=(num_items, width)).astype(np.float32),
        "user_ids": [f"u{row}" for row in range(num_users)],
        "item_ids": [f"i{row}" for row in range(num_items)],
        "popularity": np.arange(num_items, 0, -1, dtype=np.float64),
        "seen_indptr": np.arange(0, 2 * num_users + 1, 2, dtype=np.int64),
        "seen_indices": np.array(
            [item % max(1, num_items) for row in range(num_users) for item in (row, row + 1)],
            np.int32,
        ),
        "item_metadata": pa.table({"title": [f"Item {row}" for row in range(num_items)]}),
    }
    return ArtifactDraft(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def make_draft() -> DraftMaker:
    return _draft


@pytest.fixture(scope="session")
def publish() -> Publisher:
    """Writes a version; each call is one second later than the last."""
    count = 0

    def write(root: Path, catalog: str = "default", draft: ArtifactDraft | None = None) -> str:
        nonlocal count
        count += 1
        moment = _EPOCH + timedelta(seconds=count)
        return write_artifact(root, catalog, draft or _draft(), clock=lambda: moment)

    return write


class Client:
    """A running application and a client of it, on a loop of their own."""

    def __init__(self, settings: Settings) -> None:
        self.app = create_app(settings)
        self.state: ServiceState = self.app.state.service
        self._runner = asyncio.Runner()

    def __enter__(self) -> "Client":
        self._lifespan = self.app.router.lifespan_context(self.app)
        try:
            self.run(self._lifespan.__aenter__())
        except Exception:
            self._runner.close()
            raise
        transport = httpx.ASGITransport(self.app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://test")
        return self

    def __exit__(self, *error: object) -> None:
        self.run(self.http.aclose())
        self.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()

    def run(self, work: Coroutine) -> object:
        return self._runner.run(work)

    def get(self, url: str, **options: object) -> httpx.Response:
        return self.run(self.http.get(url, **options))

    def post(self, url: str, **options: object) -> httpx.Response:
        return self.run(self.http.post(url, **options))

    def recommended(self, user_id: str, **params: object) -> list[str]:
        response = self.get(f"/recommend/{user_id}", params=params)
        assert response.status_code == 200, response.text
        return [item["item_id"] for item in response.json()["items"]]


Starter = Callable[..., Client]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts an application on ``tmp_path``; settings are keyword arguments."""
    with ExitStack() as stack:
        yield lambda **values: stack.enter_context(
            Client(Settings.load({}, **{"home": tmp_path, "index": "cpu"} | values))
        )


@pytest.fixture
def deploy(tmp_path: Path, publish: Publisher) -> Publisher:
    """Publishes a version under ``tmp_path`` and makes it current."""

    def deploy(draft: ArtifactDraft | None = None, catalog: str = "default") -> str:
        version = publish(tmp_path / "artifacts", catalog, draft)
        set_current(tmp_path / "artifacts", catalog, version)
        return version

    return deploy


@pytest.fixture(scope="session")
def client_type() -> type[Client]:
    """For applications that live longer than a test."""
    return Client
