"""Commands as bytes: in C, as the library does it for clients without an event loop."""

from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection


class _Packing:
    """Writes a command faster than the library's Python does; an event has a dozen parts."""

    # Any: texts, bytes and numbers, as the library has it.
    def pack_command(self, *args: Any) -> list[bytes]:
        """The bytes of a command, whose name may be several words."""
        name = args[0].encode() if isinstance(args[0], str) else args[0]
        return [hiredis.pack_command((*name.split(), *args[1:]))]


def packing(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """The same kind of connection, which writes its commands so."""
    return type(f"Packing{kind.__name__}", (_Packing, kind), {})
