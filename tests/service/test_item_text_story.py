"""A text from the PUT of a new item to what the next version has learned."""

from contextlib import contextmanager

import numpy as np
import polars as pl
import pytest
import redis
from tiny_encoder import write_encoder

from mutualrec.as_served import AsServed
from service.artifact import TextEncoder, load_artifact
from training.config import RunConfig, TrainingConfig
from training.data.dataset import read_dataset
from training.data.encoding import encode_column
from training.data.importers.demo import import_demo
from training.ensemble_folder import build_ensemble
from training.job import Policy
from training.publish import publish
from training.retrain import retrain
from training.run_folder import RunFolder
from training.runs import train_run

pytestmark = pytest.mark.any_server

TEXTS = ("brass lamp", "sofa", "light")


@contextmanager
def silent(_name, _epochs, _metric):
    yield lambda _: None


@pytest.fixture
def encoder(tmp_path) -> TextEncoder:
    return TextEncoder.load(write_encoder(tmp_path / "words"))


@pytest.fixture
def folder(tmp_path, encoder):
    """Demo data whose items have titles, encoded as the modality `words`."""
    folder = tmp_path / "data"
    import_demo(folder, num_users=60, num_items=50, seed=1)
    items = pl.read_parquet(folder / "items.parquet")
    titles = pl.Series("name", [TEXTS[row % 3] for row in range(len(items))])
    items.with_columns(titles).write_parquet(folder / "items.parquet")
    encode_column(folder, "name", encoder, modality="words")
    return folder


def test_a_new_items_text_is_served_at_once_and_learned_from_later(
    start, redis_url, tmp_path, folder, encoder
):
    dataset, run = read_dataset(folder), RunFolder(tmp_path / "bpr")
    train_run(dataset, RunConfig(model="bpr", training=TrainingConfig(max_epochs=1)), run)
    chosen = build_ensemble(dataset, [run], tmp_path / "ensemble", weights=[1.0])
    publish(dataset, chosen, tmp_path / "artifacts", "default", dataset_folder=folder)
    client = start(redis_url=redis_url, text_encoder=tmp_path / "words")

    state = {"texts": {"words": "light lamp"}}
    put = client.run(client.http.put("/items/new", json=state)).json()
    assert (put["recommendable"], put["trained"], put["metadata"]["name"]) == (
        True,
        False,
        "light lamp",
    )
    client.post("/interactions", json={"user_id": "new user", "item_id": "new", "type": "view"})

    with redis.Redis.from_url(redis_url) as server:
        outcome = retrain(
            "default",
            server,
            artifacts=tmp_path / "artifacts",
            events=tmp_path / "events",
            workspace=tmp_path / "retraining",
            cache=tmp_path / "cache",
            progress=silent,
            serve=AsServed,
            policy=Policy(force=True),
        )
    learned = load_artifact(tmp_path / "artifacts", "default", outcome.version)
    row = learned.item_ids.index("new")
    np.testing.assert_allclose(
        learned.features["words"][row], encoder.encode("light lamp"), atol=1e-6
    )
    assert learned.item_metadata.slice(row, 1).to_pylist()[0]["name"] == "light lamp"
    assert learned.manifest.encoders["words"].digest == encoder.digest
    client.state.catalogs.refresh()
    assert client.get("/items/new").json()["trained"] is True
