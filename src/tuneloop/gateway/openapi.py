"""What the gateway looks like to its clients: `openapi.yaml`, beside this file, as JSON."""

from __future__ import annotations

from functools import cache
from importlib import resources

import msgspec


@cache
def description() -> bytes:
    """The OpenAPI 3.1 description; read once, for a gateway is asked for it seldom."""
    written = resources.files(__package__).joinpath("openapi.yaml").read_bytes()
    return msgspec.json.encode(msgspec.yaml.decode(written))
