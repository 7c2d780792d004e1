"""Nearest items by inner product: exact or by inverted lists, on the CPU or a GPU."""

from service.index.build import IndexKind, build_index, check_index, index_of
from service.index.delta import DeltaIndex
from service.index.flat import FlatCpuIndex, FlatGpuIndex
from service.index.interface import ItemIndex
from service.index.measured import MeasuredIndex
from service.index.products import TransposedIndex

__all__ = [
    "DeltaIndex",
    "FlatCpuIndex",
    "FlatGpuIndex",
    "IndexKind",
    "ItemIndex",
    "MeasuredIndex",
    "TransposedIndex",
    "build_index",
    "check_index",
    "index_of",
]
