"""A sentence encoder: from a text to a vector, with ONNX Runtime and without PyTorch."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from service.errors import EncoderUnavailable

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

Pooling = Literal["mean", "cls"]

_MODELS = ("model.onnx", "onnx/model.onnx")
_DEFAULT_MAX_TOKENS = 256
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class _Design:
    """What beside the model decides over a vector."""

    max_tokens: int
    pooling: Pooling


class TextEncoder:
    """Gives every text a vector of length 1.

    A text is encoded by itself, never in a batch: models with quantised weights give a text
    another vector in other company, and vectors of a modality must be comparable. Threads may
    share an encoder.

    Attributes:
        name: of its folder.
        digest: SHA-256 over everything that decides over a vector; 64 hex digits.
        width: of its vectors.
    """

    def __init__(
        self,
        name: str,
        digest: str,
        session: "InferenceSession",
        tokenizer: "Tokenizer",
        pooling: Pooling,
    ) -> None:
        """Use `load`."""
        self.name = name
        self.digest = digest
        self._session = session
        self._tokenizer = tokenizer
        self._pooling = pooling
        self._inputs = {each.name for each in session.get_inputs()}
        self.width = len(self._pooled("width"))

    @classmethod
    def load(cls, folder: Path, *, num_threads: int = 1) -> "TextEncoder":
        """Loads a folder as encoders are published in.

        Args:
            folder: has ``model.onnx`` (or ``onnx/model.onnx``) and ``tokenizer.json``; where they
                are, ``sentence_bert_config.json`` says how many tokens of a text count, and
                ``1_Pooling/config.json`` whether the first token's vector or the mean is taken.
            num_threads: threads that work on one text.

        Raises:
            EncoderUnavailable: a package or a file is missing, or cannot be used.
        """
        try:
            import onnxruntime
            from tokenizers import Tokenizer
        except ImportError as error:
            raise EncoderUnavailable(
                f"texts cannot be encoded: {error.name} is missing; install it with"
                " `pip install 'mutualrec[encoder]'`"
            ) from error
        model, tokens = _model_of(folder), folder / "tokenizer.json"
        design = _design_of(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        try:
            tokenizer = Tokenizer.from_file(str(tokens))
            session = onnxruntime.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
            tokenizer.no_padding()
            tokenizer.enable_truncation(design.max_tokens)
            return cls(
                folder.resolve().name,
                _digest(model, tokens, design),
                session,
                tokenizer,
                design.pooling,
            )
        except EncoderUnavailable:
            raise
        except Exception as error:  # neither library raises anything narrower
            raise EncoderUnavailable(
                f"{folder} holds no encoder that can be used: {error}; it needs the ONNX export of"
                " a sentence encoder as model.onnx, and its tokenizer.json"
            ) from error

    def encode(self, text: str) -> NDArray[np.float32]:
        """The vector of a text, [width] float32 of length 1."""
        pooled = self._pooled(text)
        length = float(np.linalg.norm(pooled.astype(np.float64)))
        unit: NDArray[np.float32] = (pooled / (length or 1.0)).astype(np.float32)
        return unit

    def _pooled(self, text: str) -> NDArray[np.float32]:
        found = self._tokenizer.encode(text)
        given = {
            "input_ids": found.ids,
            "attention_mask": found.attention_mask,
            "token_type_ids": found.type_ids,
        }
        feed = {
            name: np.array([values], np.int64)
            for name, values in given.items()
            if name in self._inputs
        }
        vectors: Sequence[NDArray[np.float32]] = self._session.run(None, feed)
        for output in vectors:
            if output.ndim == 2:  # the model pools by itself
                pooled: NDArray[np.float32] = output[0]
                return pooled
        [tokens] = vectors[0]  # [number of tokens, width]
        pooled = tokens[0] if self._pooling == "cls" else tokens.mean(axis=0)
        return pooled


def _model_of(folder: Path) -> Path:
    for name in _MODELS:
        if (folder / name).is_file() and (folder / "tokenizer.json").is_file():
            return folder / name
    raise EncoderUnavailable(
        f"{folder} is no folder of an encoder; it needs model.onnx, the ONNX export of a sentence"
        " encoder, and its tokenizer.json"
    )


def _design_of(folder: Path) -> _Design:
    sizes = _json(folder / "sentence_bert_config.json")
    pooling = _json(folder / "1_Pooling" / "config.json")
    max_tokens = sizes.get("max_seq_length", _DEFAULT_MAX_TOKENS)
    known = {"pooling_mode_cls_token", "pooling_mode_mean_tokens"}
    modes = {
        name for name, on in pooling.items() if name.startswith("pooling_mode_") and on is True
    }
    if not isinstance(max_tokens, int) or max_tokens < 1 or len(modes) > 1 or modes - known:
        raise EncoderUnavailable(
            f"{folder} wants {max_tokens} tokens and {', '.join(sorted(modes)) or 'mean'}; at least"
            f" one token and one of {', '.join(sorted(known))} can be had"
        )
    return _Design(max_tokens, "cls" if "pooling_mode_cls_token" in modes else "mean")


def _json(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise EncoderUnavailable(f"{path} is no JSON: {error}; copy it again") from error
    return content if isinstance(content, dict) else {}


def _digest(model: Path, tokens: Path, design: _Design) -> str:
    digest = hashlib.sha256(f"{design.max_tokens} {design.pooling}".encode())
    for path in (model, tokens):
        digest.update(f"\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while part := file.read(_READ_BYTES):
                digest.update(part)
    return digest.hexdigest()
