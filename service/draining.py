"""A server that answers what had reached it before it was told to stop."""

import asyncio
from socket import socket

import uvicorn

_NEXT_REQUEST_S = 0.5
# Whoever has just connected is about to ask, but browsers also connect to ask later.
_FIRST_REQUEST_S = 2.0
_TICK_S = 0.02


class DrainingServer(uvicorn.Server):
    """Closes no connection on which a request may be on its way.

    uvicorn closes those without a request under way at once, although one may already be waiting to
    be read: of a client that has just been accepted, or that keeps its connection busy.
    """

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Take no more connections, let each that is there have a last answer, then stop."""
        for server in self.servers:
            server.close()
        last = (b"connection", b"close")  # which uvicorn obeys as well
        self.server_state.default_headers = [*self.server_state.default_headers, last]
        await self._drain()
        await super().shutdown(sockets)

    async def _drain(self) -> None:
        now = asyncio.get_running_loop().time
        started = now()
        await asyncio.sleep(_TICK_S)  # what was accepted becomes a connection
        while (connections := self.server_state.connections) and not self.force_exit:
            # A protocol without cycles is not HTTP: it has no first request to wait for.
            asked = all(getattr(each, "cycle", each) is not None for each in connections)
            if now() - started > (_NEXT_REQUEST_S if asked else _FIRST_REQUEST_S):
                break
            await asyncio.sleep(_TICK_S)
