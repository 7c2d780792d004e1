"""Nearest items by inner product: one interface, one exact implementation."""

from service.index.build import IndexKind, build_index, check_index
from service.index.delta import DeltaIndex
from service.index.interface import ItemIndex, search_excluding
from service.index.measured import MeasuredIndex

__all__ = [
    "DeltaIndex",
    "IndexKind",
    "ItemIndex",
    "MeasuredIndex",
    "build_index",
    "check_index",
    "search_excluding",
]
