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
    name: str = "gateway-0"
    """Among the processes that share the port."""
    run_folder: Path | None = None
    """Where these processes leave their counters for each other; None: this one is alone."""
    processes: int = 1
    """How many gateways share the port; limits of keys are divided among them."""
    body_bytes: int = 10 << 20
    """Larger requests are refused with 413."""
    body_seconds: float = 30.0
    """A request whose body takes longer to come is refused with 408."""
    header_seconds: float = 30.0
    """A connection on which the head of a request takes longer to come, or does not come at all, is
    closed."""
    routes_check_seconds: float = 0.2
    silence_timeout_seconds: float = 300.0
    """How long a model server may send nothing."""
    drain_seconds: float = 0.0
    """From the signal to stop until no connection is accepted any more."""
    spool_limits: SpoolLimits = field(default_factory=SpoolLimits)
