"""Talking to model servers; whatever goes wrong there becomes an OpenAI-style error here.

Servers on this machine are asked by a small client on the event loop itself (`local`), all others
by pyreqwest (`remote`): TLS, proxies, HTTP/2.
"""

from tuneloop.gateway.upstream.client import Upstream
from tuneloop.gateway.upstream.messages import Answer, EventStream, Request

__all__ = ["Answer", "EventStream", "Request", "Upstream"]
