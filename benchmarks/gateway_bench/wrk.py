"""wrk: as many requests as go through, over a fixed number of connections."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_bench.installs import Program
from gateway_bench.processes import pinned

_SCRIPT = """\
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = %(authorization)s
wrk.body = %(body)s
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%%d,"seconds":%%.6f,"p50_ms":%%.4f,"p99_ms":%%.4f,"errors":%%d}\\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, kw_only=True)
class WrkResult:
    """One run of wrk. Its latencies are those of a closed loop: each connection waits its turn."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def run(
    wrk: Program,
    url: str,
    body: str,
    *,
    authorization: str,
    core: int,
    connections: int,
    seconds: float,
    folder: Path,
) -> WrkResult:
    """Load `url` for so many seconds.

    Raises:
        RuntimeError: wrk failed.
    """
    script = folder / "wrk.lua"
    # JSON's escapes of plain ASCII text are Lua's too.
    values = {"authorization": json.dumps(authorization), "body": json.dumps(body)}
    script.write_text(_SCRIPT % values)
    command = [wrk.path, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    command += ["--timeout", "60s", "-s", str(script), url]
    done = subprocess.run(
        pinned(core, command),
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **wrk.environment},
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(f"wrk failed: {(done.stderr or done.stdout).strip()[-300:]}")
    found: dict[str, Any] = json.loads(lines[0].removeprefix("RESULT "))
    return WrkResult(**found)
