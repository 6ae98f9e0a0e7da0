"""A gateway and a scripted upstream for every test that asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gateway_process import RunningGateway

from tuneloop.deployment.processes import free_port
from tuneloop.testing.upstream import Reply, Script, ScriptedUpstream


@pytest.fixture
def cold_gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway that the test starts itself."""
    made = RunningGateway(folder=tmp_path, port=free_port())
    yield made
    made.close()


@pytest.fixture
def gateway(cold_gateway: RunningGateway) -> RunningGateway:
    """A gateway without routes."""
    cold_gateway.start()
    return cold_gateway


@pytest.fixture
def scripted() -> Iterator[Callable[[Script | Reply], ScriptedUpstream]]:
    """Starts scripted upstreams and stops them."""
    started: list[ScriptedUpstream] = []

    def start(script: Script | Reply) -> ScriptedUpstream:
        started.append(ScriptedUpstream(script).__enter__())
        return started[-1]

    yield start
    for upstream in started:
        upstream.__exit__(None, None, None)
