"""The servers that evaluations start for themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from tuneloop.deployment.backends.base import ServerHandle
from tuneloop.errors import DeploymentError
from tuneloop.evaluation.targets import Sampling
from tuneloop.serving import OnDemand


def test_a_server_that_does_not_come_up_is_tried_once_for_all_who_wait() -> None:
    """Each of eight threads would sit out its start again."""
    tried: list[None] = []

    @contextmanager
    def serve() -> Iterator[ServerHandle]:
        tried.append(None)
        time.sleep(0.05)
        raise DeploymentError("The model server did not start: out of memory")
        yield ServerHandle(base_url="", served_name="m")

    with ExitStack() as servers, ThreadPoolExecutor(8) as pool:
        anew = {"cache_prompt": False}
        target = OnDemand(servers, serve, identity="i", sampling=Sampling(), anew=anew)
        asked = [pool.submit(target.complete, ()) for _ in range(8)]
        forgetful = target.without_memory()
        assert forgetful is not None
        asked += [pool.submit(forgetful.complete, ())]
        for one in asked:
            with pytest.raises(DeploymentError, match="out of memory"):
                one.result()
    assert len(tried) == 1
