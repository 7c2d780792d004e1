"""Proxies before Redis that lose or repeat replies, for tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote, urlsplit


@asynccontextmanager
async def dropping_proxy(target: str, mark: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Hands requests on; the reply to the first one that contains `mark` is lost."""
    drops: list[bytes] = []
    tasks: set[asyncio.Task] = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        upstream_reader, upstream_writer = await connect(target)
        try:
            while request := await reader.read(1 << 16):
                upstream_writer.write(request)
                reply = await upstream_reader.read(1 << 16)
                if mark in request and not drops:
                    drops.append(reply)
                    return
                writer.write(reply)
        finally:
            writer.close()
            upstream_writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", drops
    finally:
        server.close()
        await asyncio.gather(*tasks, return_exceptions=True)


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return await asyncio.open_unix_connection(unquote(parts.path))
    return await asyncio.open_connection(parts.hostname, parts.port or 6379)


@asynccontextmanager
async def repeating_proxy(target: str, mark: bytes) -> AsyncIterator[str]:
    """Answers the second request with `mark` on a connection by the reply to the first one."""
    tasks: set[asyncio.Task] = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        upstream_reader, upstream_writer = await connect(target)
        earlier = b""
        try:
            while request := await reader.read(1 << 16):
                upstream_writer.write(request)
                reply = await upstream_reader.read(1 << 16)
                writer.write(earlier if mark in request and earlier else reply)
                earlier = reply if mark in request else b""
        except ConnectionError:
            pass
        finally:
            writer.close()
            upstream_writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*tasks, return_exceptions=True)
