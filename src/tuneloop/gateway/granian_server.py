"""Granian on a socket that was opened elsewhere."""

from __future__ import annotations

import os
import socket
from typing import Any

from granian._granian import SocketHolder
from granian.server.embed import Server


class SharedServer(Server):
    """Granian's embedded server, accepting from a given listener.

    By itself it would open a socket of its own for each process (SO_REUSEPORT). The kernel then
    gives each socket a queue of clients, and those in the queue of a process that ends are reset.
    """

    _shd: Any
    _sfd: Any

    def __init__(
        self, target: Any, *, listener: socket.socket, backlog: int, **options: Any
    ) -> None:
        super().__init__(target, backlog=backlog, **options)
        self._listener = listener

    def _init_shared_socket(self) -> None:
        self._sfd = os.dup(self._listener.fileno())  # granian closes what it is given
        holder: Any = SocketHolder
        self._shd = holder(self._sfd, False, self.backlog)
