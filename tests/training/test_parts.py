from pathlib import Path

import pytest
import torch
from tiny_inputs import random_inputs

from models.inputs import ALL
from service.artifact import BlockPart, load_artifact
from training.config import RunConfig, TrainingConfig
from training.data.dataset import Dataset
from training.ensemble_folder import build_ensemble
from training.parts import Part, parts_of
from training.publish import publish
from training.registry import build_model, parse_params
from training.run_folder import RunFolder
from training.runs import train_run

INPUTS = random_inputs()


def made(name: str, **params: object):
    return build_model(name, parse_params(name, {"embedding_dim": 8, **params}), INPUTS, 0).eval()


@pytest.mark.parametrize(
    ("name", "params", "owners"),
    [
        ("gnnmr", {}, ("image", "text")),
        ("gnnmr", {"item_ids": "network"}, ("image", "text", None)),
        ("vbpr", {}, (None, "image", "text")),
    ],
)
def test_columns_change_with_their_own_modality_alone(name, params, owners):
    model = made(name, **params)
    vectors = model.embed()
    parts = parts_of(model, vectors)
    assert tuple(part.modality for part in parts) == owners
    assert sum(part.width for part in parts) == vectors.items.shape[1]
    without_text = model.embed(frozenset({"image"})).items.split([p.width for p in parts], -1)
    own = vectors.items.split([part.width for part in parts], -1)
    changed = [not torch.allclose(a, b) for a, b in zip(own, without_text, strict=True)]
    assert changed == [part.modality == "text" for part in parts]


@pytest.mark.parametrize(
    ("name", "params"), [("gnnmr", {"ensemble": "ave"}), ("deepstyle", {}), ("micro", {})]
)
def test_a_model_that_mixes_modalities_in_its_columns_has_no_parts(name, params):
    model = made(name, **params)
    assert parts_of(model, model.embed(ALL)) == ()


def test_a_published_ensemble_knows_the_modalities_of_its_columns(
    demo_dataset: Dataset, demo_folder: Path, tmp_path: Path
) -> None:
    runs = []
    for model in ("gnnmr", "lightgcn"):
        runs.append(RunFolder(tmp_path / model))
        config = RunConfig(
            model=model, params={"embedding_dim": 4}, training=TrainingConfig(max_epochs=1)
        )
        train_run(demo_dataset, config, runs[-1])
    assert runs[0].result().parts == (Part("image", 4), Part("text", 4))
    chosen = build_ensemble(demo_dataset, runs, tmp_path / "ensemble", weights=[1.0, 1.0])
    version = publish(demo_dataset, chosen, tmp_path, "default", dataset_folder=demo_folder)
    blocks = load_artifact(tmp_path, "default", version).blocks
    assert blocks[0].parts == (BlockPart("image", 4), BlockPart("text", 4))
    assert blocks[1].parts == ()
