"""Listens: a socket, and uvicorn in one process with threads."""

from __future__ import annotations

import errno
import signal
import socket
import threading
from types import FrameType

import uvicorn

from clew.core.errors import ClewError, UsageError
from clew.serve.app import create_app
from clew.serve.house import House

_LAST_ANSWERS = 5
"""Seconds that requests have to end in when the server is asked to."""


def listen(host: str, port: int) -> socket.socket:
    """A socket at `host` and `port` (0: any that is free). Raises a sentence where the system refuses."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError, OverflowError):
        raise UsageError(f"There is no address {host}, port {port}, to listen at.") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        advice = {
            errno.EADDRINUSE: "something listens there already. Choose another with --port.",
            errno.EACCES: "the system does not permit this port. Choose one above 1023 with --port.",
            errno.EADDRNOTAVAIL: "this machine has no such address.",
        }.get(error.errno or 0, f"{error.strerror}.")
        raise ClewError(f"Could not listen at {host}, port {port}: {advice}") from None
    return listener


class _Server(uvicorn.Server):
    """Ends at Ctrl-C and SIGTERM as a command does that has done its work: with exit code 0."""

    def __init__(self, config: uvicorn.Config, closing: threading.Event) -> None:
        super().__init__(config)
        self._closing = closing

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ask to end; a second Ctrl-C does not wait for requests."""
        self._closing.set()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def serve(house: House, listener: socket.socket) -> None:
    """Answer until Ctrl-C or SIGTERM, and look after the jobs."""
    config = uvicorn.Config(
        create_app(house),
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=_LAST_ANSWERS,
    )
    house.jobs.start()
    try:
        _Server(config, house.closing).run([listener])
    finally:
        house.closing.set()
        house.jobs.close()
