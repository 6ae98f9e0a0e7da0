"""Servers that somebody else runs: looked at again and again, on a thread of their own.

Such a look can take seconds where a machine is away, and nobody who keeps ours running may wait
with it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from tuneloop.deployment.backends.base import Server
from tuneloop.errors import DeploymentError

_log = logging.getLogger(__name__)

_EVERY_SECONDS = 5.0
_END_SECONDS = 2.0


class Elsewhere:
    """Whether the servers of some bundles have their models."""

    def __init__(self) -> None:
        self._servers: Mapping[str, Server] = {}
        self._found: dict[str, tuple[str, str]] = {}
        self._changed = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look_again_and_again, daemon=True)

    def begin(self) -> None:
        """Look from now on."""
        self._thread.start()

    def end(self) -> None:
        """Look no more; a look that hangs is left behind."""
        self._ending.set()
        self._changed.set()
        self._thread.join(_END_SECONDS)

    def watch(self, servers: Mapping[str, Server]) -> None:
        """Look at these, by bundle, and at no others; new ones at once."""
        if servers.keys() != self._servers.keys():
            self._servers = dict(servers)
            self._changed.set()

    @property
    def found(self) -> dict[str, tuple[str, str]]:
        """Bundle → status (starting, ready, failed) and why."""
        states = self._found
        return {bundle: states.get(bundle, ("starting", "")) for bundle in self._servers}

    def look(self) -> None:
        """Look at each of them once."""
        for bundle, server in self._servers.items():
            try:
                server.start()
                state = ("ready", "")
            except DeploymentError as e:
                state = ("failed", e.message)
            except Exception as e:  # noqa: BLE001  one odd server, and nobody would look at any
                # Not its text: it may quote what was sent or received.
                state = ("failed", f"Looking at it failed: {type(e).__name__}.")
                _log.error("Looking at the server of %s failed: %s", bundle, type(e).__name__)
            self._found = {**self._found, bundle: state}

    def _look_again_and_again(self) -> None:
        while not self._ending.is_set():
            self._changed.clear()
            self.look()
            self._changed.wait(_EVERY_SECONDS)
