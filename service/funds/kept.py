"""What is computed once per version and forgotten with it."""

from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

_Source = TypeVar("_Source")
_Made = TypeVar("_Made")


def kept(make: Callable[[_Source], _Made]) -> Callable[[_Source], _Made]:
    """Calls `make` once for each object; the result goes when the object goes.

    Two threads that ask at the same moment may both compute it, which costs time and nothing else.
    """
    made: WeakKeyDictionary[_Source, _Made] = WeakKeyDictionary()

    def lookup(source: _Source) -> _Made:
        found = made.get(source)
        if found is None:
            found = made[source] = make(source)
        return found

    return lookup
