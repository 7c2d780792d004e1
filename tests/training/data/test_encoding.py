from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny_encoder import write_encoder

from service.artifact import TextEncoder
from training.data.dataset import DatasetDraft, ModalitySpec, read_dataset, write_dataset
from training.data.encoding import EncodeReport, encode_column
from training.data.item_join import join_items
from training.data.item_states import ItemState
from training.errors import SchemaError

NOW_S = 1_790_000_000.0


@pytest.fixture
def encoder(tmp_path: Path) -> TextEncoder:
    return TextEncoder.load(write_encoder(tmp_path / "words"))


@pytest.fixture
def folder(draft: DatasetDraft, tmp_path: Path) -> Path:
    titles = pl.Series(["brass lamp", "sofa", None, " "])
    write_dataset(
        tmp_path / "shop",
        replace(draft, items=draft.items.with_columns(title=titles)),
        clock=lambda: NOW_S,
        also=lambda target: (target / "own.json").write_text("{}") and None,
    )
    return tmp_path / "shop"


def test_texts_become_a_modality_that_says_what_made_it(folder: Path, encoder: TextEncoder) -> None:
    told: list[tuple[int, int]] = []
    report = encode_column(folder, "title", encoder, advance=lambda *far: told.append(far))
    assert (report, told) == (EncodeReport(2, 2, 4), [(2, 2)])
    dataset = read_dataset(folder)
    spec = ModalitySpec("text", "title", encoder=f"words@{encoder.digest}")
    assert dataset.modalities["text"] == spec
    np.testing.assert_array_equal(dataset.features["text"][0], encoder.encode("brass lamp"))
    assert np.isnan(dataset.features["text"][2:]).all()
    np.testing.assert_array_equal(dataset.features["image"][0], [1, 0])
    assert (folder / "own.json").read_text() == "{}"


def test_a_modality_can_be_encoded_anew(folder: Path, encoder: TextEncoder) -> None:
    encode_column(folder, "title", encoder)
    before = read_dataset(folder).fingerprint
    encode_column(folder, "category", encoder)
    dataset = read_dataset(folder)
    assert (dataset.modalities["text"].source, dataset.fingerprint != before) == ("category", True)


@pytest.mark.parametrize(
    ("column", "modality", "words"),
    [
        ("colour", "text", "no column 'colour'; choose one of: category, price, title"),
        ("price", "text", "holds Float64, not texts"),
        ("title", "image", "modality 'image' is dense; choose another name"),
    ],
)
def test_what_cannot_be_encoded_is_refused_and_nothing_changes(
    folder: Path, encoder: TextEncoder, column: str, modality: str, words: str
) -> None:
    before = read_dataset(folder).fingerprint
    with pytest.raises(SchemaError, match=words):
        encode_column(folder, column, encoder, modality=modality)
    assert read_dataset(folder).fingerprint == before


def test_only_texts_of_the_same_encoder_join_the_modality(draft: DatasetDraft) -> None:
    spec = replace(draft.modalities["image"], encoder="words@" + "1" * 64)
    encoded = replace(draft, modalities={**draft.modalities, "image": spec})
    states = [
        ItemState("lamp", {}, {"image": [0.0, 1.0]}, {"image": "2" * 64}),
        ItemState("rug", {}, {"image": [0.0, 1.0]}, {"image": "1" * 64}),
        ItemState("vase", {}, {"image": [0.0, 1.0]}),
    ]
    joined = join_items(encoded, states)
    np.testing.assert_array_equal(joined.features["image"], [[1, 0], [0, 1], [0, 1], [0, 1]])
