"""Giving back to the system what is no longer used."""

import ctypes
import sys

import pyarrow as pa


def use_one_allocator() -> None:
    """Makes Arrow allocate as everything else does; its own allocators keep what was freed."""
    pa.set_memory_pool(pa.system_memory_pool())


def give_back() -> None:
    """Returns what is free to the system, where the C library keeps it otherwise (glibc)."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
