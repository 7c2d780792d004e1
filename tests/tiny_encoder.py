"""A sentence encoder small enough for a test: every word has a vector, a text their mean."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

WORDS = {
    "[UNK]": [0, 0, 0, 1],
    "lamp": [1, 0, 0, 0],
    "light": [0.8, 0.6, 0, 0],
    "sofa": [0, 0, 1, 0],
    "brass": [0.5, 0, 0, 0.1],
}


def write_encoder(folder: Path, *, scale: float = 1.0, pools: bool = False) -> Path:
    """Writes a folder as `TextEncoder.load` wants it; returns it.

    Args:
        folder: where.
        scale: of the vectors; another one makes another encoder.
        pools: whether the model gives one vector instead of one per token.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = np.array(list(WORDS.values()), np.float32) * np.float32(scale)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    shape: list[str | int] = ["batch", "sequence", table.shape[1]]
    output = "last_hidden_state"
    if pools:
        axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
        nodes.append(
            helper.make_node("ReduceMean", [output, "axes"], ["sentence_embedding"], keepdims=0)
        )
        shape, output = ["batch", table.shape[1]], "sentence_embedding"
    graph = helper.make_graph(
        nodes,
        "words",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(table, "table"), *([axes] if pools else [])],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "model.onnx")
    tokenizer = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 3}))
    return folder
