"""Runs one gateway process: `python -m tuneloop.gateway.server --routes F --spool DIR`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tuneloop.errors import TuneloopError, UsageError, require
from tuneloop.gateway.settings import GatewaySettings
from tuneloop.storage import spool
from tuneloop.storage.spool import SpoolLimits

DEFAULT_PORT = 8400


def command(
    *, routes: Path, spool: Path, port: int, host: str = "127.0.0.1", segment_seconds: float = 2.0
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


def serve(
    settings: GatewaySettings, *, host: str, port: int, until_stdin_closes: bool = False
) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first.

    `until_stdin_closes`: stop too when the process at the other end of standard input is gone.

    Raises:
        UsageError: the address cannot be listened on.
        StoreError: the spool folder cannot be used.
        MissingExtraError: granian or pyreqwest is not installed.
    """
    require("granian", extra="gateway")
    require("pyreqwest", extra="gateway")
    port = _check_address(host, port)
    stale = spool.seal_stale(settings.spool)
    if stale.segments:
        _log.warning(
            "Sealed %d segments of a gateway that was killed; %d torn lines cut off.",
            stale.segments,
            stale.torn_lines,
        )
    asyncio.run(_serve(settings, host, port, until_stdin_closes))


_log = logging.getLogger(__name__)


async def _serve(settings: GatewaySettings, host: str, port: int, until_stdin_closes: bool) -> None:
    from granian.constants import HTTPModes, Interfaces
    from granian.server.embed import Server

    from tuneloop.gateway.app import Gateway

    server = Server(
        Gateway(settings),
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    if until_stdin_closes:
        _when_stdin_closes(loop, server.stop)
    print(f"tuneloop gateway on http://{host}:{port}/v1", flush=True)
    await server.serve()


def _when_stdin_closes(loop: asyncio.AbstractEventLoop, stop: Callable[[], object]) -> None:
    def read() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin.fileno())
            stop()

    loop.add_reader(sys.stdin.fileno(), read)


def _check_address(host: str, port: int) -> int:
    """The port to listen on; a free one for 0."""
    # Granian shares ports between processes, so a second gateway would not notice the first.
    try:
        with socket.create_server((host, port)) as listener:
            return int(listener.getsockname()[1])
    except OSError as e:
        raise UsageError(
            f"Cannot listen on {host}:{port}: {e.strerror}.",
            remedy="Stop what listens there, or choose another port with --port.",
        ) from e


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tuneloop-gateway", description=__doc__)
    parser.add_argument("--routes", type=Path, required=True, help="the published routes file")
    parser.add_argument("--spool", type=Path, required=True, help="folder for captured traffic")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--body-bytes", type=int, default=10 << 20, help="largest request")
    parser.add_argument("--silence-timeout-seconds", type=float, default=300.0)
    parser.add_argument("--segment-seconds", type=float, default=2.0)
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the parent")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 after a stop, 1 when it could not start."""
    arguments = _arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = GatewaySettings(
        routes=arguments.routes,
        spool=arguments.spool,
        body_bytes=arguments.body_bytes,
        silence_timeout_seconds=arguments.silence_timeout_seconds,
        spool_limits=SpoolLimits(segment_seconds=arguments.segment_seconds),
    )
    try:
        serve(
            settings,
            host=arguments.host,
            port=arguments.port,
            until_stdin_closes=arguments.until_stdin_closes,
        )
    except TuneloopError as e:
        print(f"tuneloop gateway: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
