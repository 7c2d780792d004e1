"""Choosing the index for the machine."""

from typing import Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from service.errors import IndexUnavailable
from service.index.flat import FlatCpuIndex, FlatGpuIndex
from service.index.interface import ItemIndex

IndexKind = Literal["auto", "cpu", "gpu"]


def check_index(kind: IndexKind) -> int:
    """The number of GPUs that FAISS may use for this kind of index.

    Raises:
        IndexUnavailable: ``gpu`` was asked for and FAISS sees none.
    """
    num_gpus: int = faiss.get_num_gpus() if kind != "cpu" else 0
    if kind == "gpu" and num_gpus == 0:
        raise IndexUnavailable(
            f"index 'gpu' was asked for, but FAISS {faiss.__version__} sees no GPU; install the"
            " extra [service-gpu] on a machine with one, or set MUTUALREC_INDEX=cpu"
        )
    return num_gpus


def build_index(items: NDArray[np.float32], kind: IndexKind) -> ItemIndex:
    """An exact index of the items.

    Args:
        items: [I, D] float32, I and D at least 1.
        kind: ``cpu``, ``gpu``, or ``auto`` for a GPU where FAISS sees one.

    Raises:
        IndexUnavailable: ``gpu`` was asked for and FAISS sees none.
    """
    return FlatGpuIndex(items) if check_index(kind) else FlatCpuIndex(items)
