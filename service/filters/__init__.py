"""A small language over item metadata: ``genre = "Drama" and year in 1990..1999``."""

from service.filters.columns import Allowed, Coded, ItemColumns
from service.filters.parse import MAX_LENGTH, parse_filter
from service.filters.syntax import Expression, FilterError

__all__ = [
    "MAX_LENGTH",
    "Allowed",
    "Coded",
    "Expression",
    "FilterError",
    "ItemColumns",
    "parse_filter",
]
