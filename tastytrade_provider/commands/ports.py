"""Listening where the user said, and what is wrong where that cannot be."""

from __future__ import annotations

import errno
import socket

from ..errors import UsageError

_BACKLOG = 2048


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of a host name, all on one port; 0 takes a free one. UsageError where that cannot be."""
    found: list[socket.socket] = []
    try:
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            at = (address[0], found[0].getsockname()[1] if found else port, *address[2:])
            found.append(socket.create_server(at, family=family, backlog=_BACKLOG))
    except OSError as error:
        for each in found:
            each.close()
        raise refusal(error, host, port) from error
    return found


def refusal(error: OSError, host: str, port: int) -> UsageError:
    """What to say of a port that cannot be had."""
    if error.errno == errno.EADDRINUSE:
        return UsageError(f"port {port} is in use; another --port, or 0 for a free one")
    return UsageError(f"cannot listen on {host}, port {port}: {error.strerror or error}")
