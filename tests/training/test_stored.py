import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from training.ensemble import MemberVectors, concat
from training.ensemble_folder import read_ensemble
from training.errors import DataError
from training.run_folder import RunFolder
from training.stored import load_tensors, read_record, write_json


@dataclass(frozen=True)
class Weighed:
    name: str
    weight: float


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write_json(tmp_path / "r.json", {"name": "a", "weight": 0.5})
    assert read_record(tmp_path / "r.json", Weighed) == Weighed("a", 0.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[]", "expected an object"),
        (b"{}", "name: Field required"),
        (b'{"name": "a", "weight": "heavy"}', "weight: "),
    ],
)
def test_a_damaged_record_is_an_error_that_names_the_folder_to_delete(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(DataError, match=message) as failure:
        read_record(tmp_path / "r.json", Weighed)
    assert f"delete the folder {tmp_path}" in str(failure.value)


@pytest.mark.parametrize("kept", [0, 3, 60])
def test_cut_off_tensors_are_an_error(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_file({"users": torch.ones(3, 4)}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="cannot be read"):
        load_tensors(path, ("users",))


def test_a_missing_file_of_tensors_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_tensors(tmp_path / "t.safetensors", ("users",))


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    save_file({"users": torch.ones(3, 4)}, tmp_path / "t.safetensors")
    with pytest.raises(DataError, match="lacks items"):
        load_tensors(tmp_path / "t.safetensors", ("users", "items"))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_tensors_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    save_file({"users": torch.tensor([1.0, value])}, tmp_path / "t.safetensors")
    with pytest.raises(DataError, match="NaN or infinity in users"):
        load_tensors(tmp_path / "t.safetensors", ("users",))


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("config.json", lambda folder: RunFolder(folder).config()),
        ("config.json", lambda folder: RunFolder(folder).fingerprint()),
        ("result.json", lambda folder: RunFolder(folder).result()),
        ("result.json", lambda folder: RunFolder(folder).embeddings()),
        ("ensemble.json", read_ensemble),
    ],
)
def test_an_empty_record_is_refused_wherever_it_is_read(name, read, tmp_path: Path) -> None:
    (tmp_path / name).write_text(json.dumps({}))
    with pytest.raises(DataError, match="Field required"):
        read(tmp_path)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_that_make_no_sense_are_refused(weight: float) -> None:
    member = MemberVectors("m", torch.ones(2, 3), torch.ones(4, 3))
    with pytest.raises(DataError, match="finite numbers"):
        concat([member, member], [1.0, weight])
