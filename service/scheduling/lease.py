"""The lease: one trainer per catalog, wherever it was started, and proof of it when publishing.

A trainer renews its lease while it works. One that was stopped for longer than the lease lasts, or
cut off from Redis, may have lost it to another: it is told so by `Lease.check` as soon as that is
known, and by `Lease.confirm` for certain, which is asked when the version is about to be published.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from service.errors import LeaseHeld, TrainerFenced
from service.publishing.pointer import Fence
from service.scheduling.keys import TrainingKeys

logger = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 3


@dataclass(frozen=True)
class Holder:
    """Who holds a lease: its token, its owner (host, process, a number) and the seconds left."""

    token: int
    owner: str
    left_s: float


class Lease:
    """A lease that was acquired; `holding` does that, renews it and gives it back."""

    def __init__(self, client: Redis, catalog: str, owner: str, ttl_s: float, token: int) -> None:
        """Takes over what `acquire` was given.

        Args:
            client: a connection that may wait for replies.
            catalog: whose lease it is.
            owner: who holds it.
            ttl_s: seconds from a renewal until it runs out.
            token: the fencing token.
        """
        self.token = token
        self.catalog = catalog
        self._client = client
        self.owner = owner
        self._ttl_s = ttl_s
        self._lost: str | None = None

    @property
    def fence(self) -> Fence:
        """The right to publish, for `service.artifact.promote`."""
        return Fence(self.token, self.confirm)

    def check(self) -> None:
        """Asks nobody; for the middle of the work.

        Raises:
            TrainerFenced: a renewal found that another trainer has the lease, or had it since.
        """
        if self._lost is not None:
            raise TrainerFenced(self._lost)

    def confirm(self) -> None:
        """Renews the lease, and proves by that that nobody else had it in between.

        Raises:
            TrainerFenced: somebody else has it, or had it since.
            RedisError: Redis does not answer, so that it cannot be known.
        """
        holder = _call(self._client, self.catalog, "renew", self.owner, self._ttl_s, self.token)
        if holder is None or (holder.token, holder.owner) != (self.token, self.owner):
            self._lost = (
                f"catalog {self.catalog!r}: the lease of this trainer (token {self.token}) ran out"
                f" and went to {'another one' if holder is None else describe(holder)}; nothing was"
                " published, run the retraining again"
            )
            raise TrainerFenced(self._lost)

    def renew_until(self, stop: threading.Event) -> None:
        """Renews again and again until `stop` is set or the lease is lost."""
        renewed_at = time.monotonic()
        while not stop.wait(self._ttl_s / RENEWALS_PER_LEASE):
            try:
                self.confirm()
                renewed_at = time.monotonic()
            except TrainerFenced as error:
                logger.error("%s", error)
                return
            except RedisError as error:
                late_s = time.monotonic() - renewed_at
                logger.warning(
                    "lease catalog=%s token=%d not renewed for %.0f s of %.0f: %s",
                    *(self.catalog, self.token, late_s, self._ttl_s, error),
                )

    def release(self) -> None:
        """Gives it back; where Redis does not answer it runs out."""
        try:
            _call(self._client, self.catalog, "release", self.owner, self._ttl_s, self.token)
        except RedisError as error:
            logger.warning("the lease of catalog %s runs out by itself: %s", self.catalog, error)


def acquire(
    client: Redis, catalog: str, *, ttl_s: float, used_token: int, owner: str | None = None
) -> Lease:
    """The lease of a catalog, if nobody has it.

    Args:
        client: a connection that may wait for replies.
        catalog: a checked catalog name.
        ttl_s: seconds after which it runs out unless it is renewed.
        used_token: the highest token that is known to have been used, for a server that lost its
            data: `service.artifact.highest_fence`.
        owner: who wants it; this process by default.

    Raises:
        LeaseHeld: another trainer has it.
        RedisError: Redis does not answer.
    """
    name = owner or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    holder = _call(client, catalog, "acquire", name, ttl_s, used_token)
    if holder is None or holder.owner != name:
        raise LeaseHeld(
            f"catalog {catalog!r} is being retrained by"
            f" {'another process' if holder is None else describe(holder)}; wait until it has"
            " finished, or stop it"
        )
    return Lease(client, catalog, name, ttl_s, holder.token)


@contextmanager
def holding(client: Redis, catalog: str, *, ttl_s: float, used_token: int) -> Iterator[Lease]:
    """Holds the lease of a catalog, renewed by a thread, until the block ends.

    Raises:
        LeaseHeld: another trainer has it.
        RedisError: Redis does not answer.
    """
    lease = acquire(client, catalog, ttl_s=ttl_s, used_token=used_token)
    logger.info("lease catalog=%s token=%d ttl_s=%g", catalog, lease.token, ttl_s)
    stop = threading.Event()
    thread = threading.Thread(target=lease.renew_until, args=[stop], name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        stop.set()
        thread.join()
        lease.release()


def holder_of(client: Redis, catalog: str) -> Holder | None:
    """Who trains the catalog now, None if nobody does."""
    keys = TrainingKeys(catalog)
    return parse_holder(client.get(keys.lease), client.pttl(keys.lease))


def parse_holder(value: object, left_ms: object) -> Holder | None:
    """What the lease's key and its time to live say."""
    if not isinstance(value, bytes) or not isinstance(left_ms, int) or left_ms <= 0:
        return None
    token, _, owner = value.decode().partition(" ")
    return Holder(int(token), owner, left_ms / 1000)


def describe(holder: Holder) -> str:
    """``host, process 123 (token 7, its lease has 25 s left)``."""
    host, process, _ = holder.owner.rsplit(":", 2)
    return (
        f"{host}, process {process} (token {holder.token}, its lease has {holder.left_s:.0f} s left"
        " unless it is renewed)"
    )


def _call(
    client: Redis, catalog: str, action: str, owner: str, ttl_s: float, number: int
) -> Holder | None:
    keys = TrainingKeys(catalog)
    script = files("service.scheduling").joinpath("lease.lua").read_text(encoding="utf-8")
    arguments = [action, owner, str(round(ttl_s * 1000)), str(number)]
    reply = client.eval(script, 2, keys.lease, keys.token, *arguments)
    token, left_ms, holder = cast("list[int | bytes]", reply)
    if not token:
        return None
    name = holder.decode() if isinstance(holder, bytes) else str(holder)
    return Holder(int(token), name, max(0, int(left_ms)) / 1000)
