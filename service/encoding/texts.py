"""Texts that were given with an item, as vectors that can be compared with the catalog's."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from service.encoding.encoder import TextEncoder
from service.errors import InvalidParameter
from service.manifest import EncoderRef
from service.snapshot import Snapshot


def encode_texts(
    encoder: TextEncoder | None, snapshot: Snapshot, texts: Mapping[str, str]
) -> dict[str, NDArray[np.float32]]:
    """The vector of every text. Some milliseconds each: call it in a thread.

    Args:
        encoder: the service's; None where it has none.
        snapshot: the version whose vectors they are compared with.
        texts: by modality.

    Raises:
        InvalidParameter: the vectors would not be comparable, or a text is empty.
    """
    vectors = {}
    for name, text in texts.items():
        wanted = _wanted(snapshot, name)
        if encoder is None:
            raise InvalidParameter(
                f"texts.{name}: this service has no text encoder; set MUTUALREC_TEXT_ENCODER to the"
                f" folder of {wanted.name!r} (see docs/data.md), or send the vector as"
                f" features.{name}"
            )
        if encoder.digest != wanted.digest:
            raise InvalidParameter(
                f"texts.{name}: the vectors of version {snapshot.version} are from the encoder"
                f" {wanted.name!r} ({wanted.digest[:12]}), this service has {encoder.name!r}"
                f" ({encoder.digest[:12]}), and vectors of two encoders cannot be compared; set"
                " MUTUALREC_TEXT_ENCODER to the first one's folder, or run `mutualrec encode` with"
                " the second, train and publish"
            )
        if not text.strip():
            raise InvalidParameter(f"texts.{name} is empty; leave it out, or say something")
        vectors[name] = encoder.encode(text)
    return vectors


def with_columns(
    snapshot: Snapshot, texts: Mapping[str, str], metadata: Mapping[str, JsonValue]
) -> Mapping[str, JsonValue]:
    """The metadata with the texts in the columns that their modality is encoded from.

    What was given for a column stays.
    """
    table = snapshot.artifact.item_metadata
    known = [] if table is None else table.column_names
    encoders = snapshot.artifact.manifest.encoders
    columns = {encoders[name].column: text for name, text in texts.items()}
    return {name: text for name, text in columns.items() if name in known} | dict(metadata)


def _wanted(snapshot: Snapshot, name: str) -> EncoderRef:
    manifest = snapshot.artifact.manifest
    if name in manifest.encoders:
        return manifest.encoders[name]
    if name in snapshot.artifact.features:
        raise InvalidParameter(
            f"texts.{name}: the vectors of {name!r} in version {snapshot.version} are from an"
            f" unknown encoder; send the vector as features.{name}, or run `mutualrec encode`,"
            " train and publish"
        )
    raise InvalidParameter(
        f"texts: version {snapshot.version} has no vectors of {name!r}, only of:"
        f" {', '.join(sorted(manifest.encoders)) or 'nothing'}"
    )
