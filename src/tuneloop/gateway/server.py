"""Runs one gateway process: `python -m tuneloop.gateway.server --routes F --spool DIR`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tuneloop import logs
from tuneloop.errors import TuneloopError, UsageError, require
from tuneloop.gateway.settings import GatewaySettings
from tuneloop.storage import spool
from tuneloop.storage.spool import SpoolLimits

# By name: as a program this module is called __main__.
_log = logging.getLogger("tuneloop.gateway.server")

DEFAULT_PORT = 8400
BACKLOG = 1024
"""Clients that may wait to be accepted."""
_CONNECTIONS = 10_000
"""Clients that one process serves at a time, idle ones included; granian's default is BACKLOG."""
_OTHER_FILES = 128
"""That a process has open beside its connections."""

_ABANDONED_SECONDS = 10.0
"""For the requests under way when the process that started this one is gone."""

_FLAGS = {
    "name": "among the gateways on this port",
    "processes": "gateways on this port",
    "body_bytes": "largest request",
    "body_seconds": "for a whole request",
    "header_seconds": "for a request's head",
    "silence_timeout_seconds": "how long a model server may send nothing",
    "drain_seconds": "before a stop",
}
"""Fields of `GatewaySettings` that have a flag, with what its help says."""


def command(
    *,
    routes: Path,
    spool: Path,
    port: int,
    host: str = "127.0.0.1",
    segment_seconds: float = SpoolLimits.segment_seconds,
) -> list[str]:
    """The command line that starts a gateway, for whoever supervises it."""
    flags = {
        "--routes": routes,
        "--spool": spool,
        "--host": host,
        "--port": port,
        "--segment-seconds": segment_seconds,
    }
    words = [str(word) for pair in flags.items() for word in pair]
    return [sys.executable, "-m", "tuneloop.gateway.server", *words]


def listen(host: str, port: int) -> socket.socket:
    """The socket that one or more gateway processes accept from; port 0 takes a free one.

    Processes that share it share its queue too: one that stops takes no waiting client with it.

    Raises:
        UsageError: the address cannot be listened on.
    """
    try:
        listener = socket.create_server((host, port), backlog=BACKLOG)
    except OSError as e:
        raise UsageError(
            f"Cannot listen on {host}:{port}: {e.strerror}.",
            remedy="Stop what listens there, or choose another port: `endpoint.port` in the model "
            "file, or --set endpoint.port=8401.",
        ) from e
    # Inherited by every connection: without it the first token of a stream, which follows its head
    # in a packet of its own, waits 40 ms for the client's delayed acknowledgement of the head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setblocking(False)
    return listener


def serve(settings: GatewaySettings, listener: socket.socket, *, until_stdin_closes: bool) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first.

    `until_stdin_closes`: stop too when the process at the other end of standard input is gone.

    Raises:
        StoreError: the spool folder cannot be used.
        MissingExtraError: granian or pyreqwest is not installed.
    """
    require("granian", extra="gateway")
    require("pyreqwest", extra="gateway")
    stale = spool.seal_stale(settings.spool)
    if stale.segments:
        _log.warning(
            "Sealed %d segments of a gateway that was killed; %d torn lines cut off.",
            stale.segments,
            stale.torn_lines,
        )
    require("uvloop", extra="gateway").run(_serve(settings, listener, until_stdin_closes))


async def _serve(
    settings: GatewaySettings, listener: socket.socket, until_stdin_closes: bool
) -> None:
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings

    from tuneloop.gateway.app import Gateway
    from tuneloop.gateway.granian_server import SharedServer

    gateway = Gateway(settings)
    host, port = listener.getsockname()[:2]
    header_milliseconds = round(settings.header_seconds * 1_000)
    server = SharedServer(
        gateway,
        listener=listener,
        backlog=BACKLOG,
        backpressure=_connections(_open_files()),
        http1_settings=HTTP1Settings(header_read_timeout=header_milliseconds),
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()

    def stop() -> None:
        # Clients with an open connection are told with their next answer to make a new one.
        gateway.drain(wanted=True)
        loop.call_later(settings.drain_seconds, server.stop)

    def abandoned() -> None:
        # Nobody is left to end a process that has requests without an end.
        gateway.drain(wanted=False)
        loop.call_soon(server.stop)
        loop.call_later(_ABANDONED_SECONDS, os._exit, 1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if until_stdin_closes:
        _when_stdin_closes(loop, abandoned)
    _log.info("tuneloop gateway on http://%s:%d/v1", host, port, extra={"gateway": settings.name})
    if settings.run_folder is not None:
        (settings.run_folder / f"{settings.name}.ready").touch()
    await server.serve()


def _open_files() -> int:
    """Raise the number of files that this process may open to what the system allows it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return _CONNECTIONS * 2 + _OTHER_FILES if hard == resource.RLIM_INFINITY else hard


def _connections(open_files: int) -> int:
    """How many clients may be connected: each may need a connection to a model server as well."""
    return max(1, min(_CONNECTIONS, (open_files - _OTHER_FILES) // 2))


def _when_stdin_closes(loop: asyncio.AbstractEventLoop, stop: Callable[[], object]) -> None:
    def read() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin.fileno())
            stop()

    loop.add_reader(sys.stdin.fileno(), read)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tuneloop-gateway", description=__doc__)
    parser.add_argument("--routes", type=Path, required=True, help="the published routes file")
    parser.add_argument("--spool", type=Path, required=True, help="folder for captured traffic")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--fd", type=int, help="accept from this inherited socket instead")
    parser.add_argument("--run-folder", type=Path, help="what gateways on a port tell each other")
    parser.add_argument("--segment-seconds", type=float, default=SpoolLimits.segment_seconds)
    for name, help_text in _FLAGS.items():
        unsaid = getattr(GatewaySettings, name)
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=type(unsaid), default=unsaid, help=help_text)
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the parent")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 after a stop, 1 when it could not start."""
    arguments = _arguments(argv)
    logs.configure()
    settings = GatewaySettings(
        routes=arguments.routes,
        spool=arguments.spool,
        run_folder=arguments.run_folder,
        spool_limits=SpoolLimits(segment_seconds=arguments.segment_seconds),
        **{name: getattr(arguments, name) for name in _FLAGS},
    )
    try:
        if settings.run_folder is not None:
            (settings.run_folder / f"{settings.name}.ready").unlink(missing_ok=True)
        if arguments.fd is None:
            listener = listen(arguments.host, arguments.port)
        else:
            listener = socket.socket(fileno=arguments.fd)
        serve(settings, listener, until_stdin_closes=arguments.until_stdin_closes)
    except TuneloopError as e:
        _log.error("%s", e.message, extra={"remedy": e.remedy})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
