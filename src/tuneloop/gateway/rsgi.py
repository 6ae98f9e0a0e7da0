"""The server's side of a request, as granian's RSGI defines it, with its types.

https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from granian.rsgi import Scope

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian._granian import RSGIProtocolClosed as ProtocolClosed
else:
    from granian.rsgi import HTTPProtocol, ProtocolClosed

__all__ = ["HTTPProtocol", "ProtocolClosed", "Scope"]
