"""Content hash of a dataset, the same however its files were compressed or written."""

import hashlib
import json

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.descriptor import Descriptor, render_descriptor
from training.data.tables import DatasetDraft


def fingerprint_of(draft: DatasetDraft) -> str:
    """Sha256 (64 hex digits) over names, ids, events, metadata, features and neighbours.

    Order matters: rows of items define the rows of features. Features are hashed as float32, so a
    float16 file and its float32 copy agree.
    """
    digest = hashlib.sha256()
    head = Descriptor(draft.name, draft.event_types, draft.modalities)
    digest.update(render_descriptor(head).encode())
    for label, table in (
        ("interactions", draft.interactions),
        ("items", draft.items),
        ("users", draft.users),
    ):
        digest.update(f"\0{label}".encode())
        if table is not None:
            _add_table(digest, table)
    for name in sorted(draft.features):
        _add_array(digest, f"features/{name}", np.asarray(draft.features[name], np.float32))
    for name in sorted(draft.neighbours):
        _add_array(digest, f"indices/{name}", draft.neighbours[name].indices)
        _add_array(digest, f"similarities/{name}", draft.neighbours[name].similarities)
    return digest.hexdigest()


def _add_table(digest: "hashlib._Hash", table: pl.DataFrame) -> None:
    for name in table.columns:
        column = table[name]
        if column.dtype == pl.String:
            values = column.to_list()
            text = "".join(value for value in values if value is not None)
            lengths = [-1 if value is None else len(value) for value in values]
            _add_array(digest, name, np.asarray(lengths, dtype=np.int64))
            digest.update(text.encode())
        elif column.dtype.is_numeric():
            _add_array(digest, f"{name}?", column.is_null().to_numpy())
            _add_array(digest, name, column.fill_null(0).to_numpy())
        else:
            digest.update(
                json.dumps([name, str(column.dtype), column.to_list()], default=str).encode()
            )


# Any element type may be hashed: the dtype's name goes in with the bytes.
def _add_array(digest: "hashlib._Hash", name: str, array: NDArray[np.generic]) -> None:
    digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
    digest.update(np.ascontiguousarray(array).data)
