"""What one gateway process is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tuneloop.storage.spool import SpoolLimits


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """Where a gateway finds its routes, where it spools, and its bounds."""

    routes: Path
    """The file that the registry publishes."""
    spool: Path
    """Folder of the captured traffic."""
    body_bytes: int = 10 << 20
    """Larger requests are refused with 413."""
    routes_check_seconds: float = 0.2
    silence_timeout_seconds: float = 300.0
    """How long a model server may send nothing."""
    spool_limits: SpoolLimits = field(default_factory=SpoolLimits)
