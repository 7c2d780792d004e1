"""Choosing the index for the machine."""

from typing import Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from service.artifact import Artifact
from service.errors import IndexUnavailable
from service.index.choosing import choose_index
from service.index.flat import FlatGpuIndex
from service.index.interface import ItemIndex
from service.index.products import exact_index
from service.kept import kept_path

IndexKind = Literal["auto", "cpu", "ivf", "gpu"]


def check_index(kind: IndexKind) -> int:
    """The number of GPUs that FAISS may use for this kind of index.

    Raises:
        IndexUnavailable: ``gpu`` was asked for and FAISS sees none.
    """
    num_gpus: int = faiss.get_num_gpus() if kind in ("auto", "gpu") else 0
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
        kind: ``gpu``, or ``auto`` where FAISS sees a GPU; the CPU for the others.

    Raises:
        IndexUnavailable: ``gpu`` was asked for and FAISS sees none.
    """
    return FlatGpuIndex(items) if check_index(kind) else exact_index(items)


def index_of(artifact: Artifact, kind: IndexKind, recall: float) -> ItemIndex:
    """The index of a version.

    Args:
        artifact: the version, with at least one item.
        kind: ``cpu`` and ``gpu`` are exact, ``ivf`` is inverted lists on the CPU; ``auto`` is a GPU
            where FAISS sees one, else whichever is quicker.
        recall: the share of the exact results that inverted lists must find.

    Raises:
        IndexUnavailable: ``gpu`` was asked for and FAISS sees none.
    """
    if kind in ("cpu", "gpu") or check_index(kind):
        return build_index(artifact.items, kind)
    kept = kept_path(artifact, "")
    return choose_index(artifact.items, artifact.users, kept, recall=recall, always=kind == "ivf")
