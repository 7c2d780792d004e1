"""Appending to the audit logs from requests: what comes at the same moment is written together."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue

from service.funds.audit_log import AuditLog
from service.funds.errors import AuditUnavailable

_MAX_TOGETHER = 256
_Entry: TypeAlias = Mapping[str, JsonValue]


@dataclass
class _Queue:
    log: AuditLog
    waiting: list[tuple[_Entry, "asyncio.Future[None]"]] = field(default_factory=list)
    writing: "asyncio.Task[None] | None" = None


class AuditTrail:
    """The logs of all catalogs of one process; use it on one event loop."""

    def __init__(self, folder: Path, *, rotate_bytes: int, fsync: bool) -> None:
        """Touches nothing yet.

        Args:
            folder: where each catalog has a folder.
            rotate_bytes: files of this size are closed.
            fsync: whether an answer waits until its line is on the disk.
        """
        self._folder = folder
        self._rotate_bytes = rotate_bytes
        self._fsync = fsync
        self._queues: dict[str, _Queue] = {}

    async def append(self, catalog: str, entry: _Entry) -> None:
        """Returns when the line is written, as the settings understand it.

        Args:
            catalog: a known catalog.
            entry: what to say.

        Raises:
            AuditUnavailable: the line could not be written.
        """
        queue = self._queues.get(catalog)
        if queue is None:
            folder = self._folder / catalog
            log = AuditLog(folder, rotate_bytes=self._rotate_bytes, fsync=self._fsync)
            queue = self._queues[catalog] = _Queue(log)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.waiting.append((entry, written))
        if queue.writing is None or queue.writing.done():
            queue.writing = asyncio.create_task(self._write(queue))
        await written

    async def _write(self, queue: _Queue) -> None:
        while queue.waiting:
            batch, queue.waiting = queue.waiting[:_MAX_TOGETHER], queue.waiting[_MAX_TOGETHER:]
            error: Exception | None = None
            try:
                await asyncio.to_thread(queue.log.append, [entry for entry, _ in batch])
            except OSError as failure:
                error = AuditUnavailable(
                    f"the audit log cannot be written ({failure.strerror}), so nothing is"
                    f" answered; make room and check the rights of {self._folder}",
                    retry_after_s=5,
                )
            for _, written in batch:
                if written.done():
                    continue
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(error)
