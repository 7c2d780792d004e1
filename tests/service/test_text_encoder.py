import json
import sys

import numpy as np
import pytest
from tiny_encoder import WORDS, write_encoder

from service.encoding.encoder import TextEncoder
from service.errors import EncoderUnavailable


def unit(*vectors: list[float]) -> np.ndarray:
    mean = np.mean(vectors, axis=0)
    return mean / np.linalg.norm(mean)


@pytest.fixture
def folder(tmp_path):
    return write_encoder(tmp_path / "words")


@pytest.mark.parametrize("pools", [False, True])
def test_a_text_is_the_mean_of_its_tokens_with_length_one(tmp_path, pools):
    encoder = TextEncoder.load(write_encoder(tmp_path / "words", pools=pools))
    found = encoder.encode("Brass LAMP")
    np.testing.assert_allclose(found, unit(WORDS["brass"], WORDS["lamp"]), atol=1e-6)
    assert (encoder.name, encoder.width, found.dtype) == ("words", 4, np.float32)


def test_tokens_beyond_the_longest_do_not_count(folder):
    encoder = TextEncoder.load(folder)
    np.testing.assert_array_equal(
        encoder.encode("lamp lamp lamp sofa sofa"), encoder.encode("lamp lamp lamp")
    )


def test_the_first_token_is_taken_where_the_folder_says_so(folder):
    (folder / "1_Pooling").mkdir()
    modes = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    found = TextEncoder.load(folder).encode("light sofa")
    np.testing.assert_allclose(found, unit(WORDS["light"]), atol=1e-6)


def test_the_digest_tells_encoders_apart_and_not_their_places(tmp_path, folder):
    other = TextEncoder.load(write_encoder(tmp_path / "scaled", scale=2.0))
    copy = TextEncoder.load(write_encoder(tmp_path / "copy"))
    first = TextEncoder.load(folder)
    assert first.digest == copy.digest != other.digest
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 2}')
    assert TextEncoder.load(folder).digest != first.digest


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.onnx", None, "needs model.onnx"),
        ("tokenizer.json", None, "needs model.onnx"),
        ("model.onnx", "nonsense", "ONNX export"),
        ("tokenizer.json", "{}", "its tokenizer.json"),
        ("sentence_bert_config.json", "{", "no JSON"),
        ("sentence_bert_config.json", '{"max_seq_length": 0}', "at least one token"),
    ],
)
def test_a_folder_that_is_none_is_refused_with_what_it_needs(folder, name, content, words):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(EncoderUnavailable, match=words):
        TextEncoder.load(folder)


def test_without_its_packages_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EncoderUnavailable, match=r"pip install 'mutualrec\[encoder\]'"):
        TextEncoder.load(folder)
