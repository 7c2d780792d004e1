"""The socket of the service, bound before anything is started that would have to be stopped."""

import socket
from contextlib import closing


class CannotListen(RuntimeError):
    """The address is in use, not allowed, or not one of this machine."""


def listen(host: str, port: int) -> closing[socket.socket]:
    """Bind a TCP socket.

    Args:
        host: Name or address, IPv4 or IPv6.
        port: Port; 0 lets the system choose.

    Raises:
        CannotListen: The address cannot be used; the message names the options.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return closing(socket.create_server(address[:2], family=family, backlog=2048))
    except OSError as error:
        raise CannotListen(
            f"cannot listen on {host}:{port}: {error.strerror or error}; "
            "choose another address with --host or another port with --port"
        ) from error
