"""Nearest items by inner product: one interface, one exact implementation."""

from service.index.build import IndexKind, build_index, check_index
from service.index.delta import DeltaIndex
from service.index.flat import FlatCpuIndex
from service.index.interface import ItemIndex
from service.index.measured import MeasuredIndex

__all__ = [
    "DeltaIndex",
    "FlatCpuIndex",
    "IndexKind",
    "ItemIndex",
    "MeasuredIndex",
    "build_index",
    "check_index",
]
