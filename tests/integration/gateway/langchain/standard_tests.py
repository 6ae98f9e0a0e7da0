"""LangChain's standard tests of chat models, through the gateway to a model that does as told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import capable_model
import pytest
from gateway_process import RunningGateway
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from tuneloop.deployment.processes import free_port
from tuneloop.registry import routes
from tuneloop.registry.routes import Arm, Endpoint, RouteSnapshot, Target
from tuneloop.testing.upstream import ScriptedUpstream


@pytest.fixture(scope="class")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the gateway for OpenAI clients."""
    gateway = RunningGateway(folder=tmp_path_factory.mktemp("gateway"), port=free_port())
    with ScriptedUpstream(capable_model.answer) as upstream:
        endpoint = Endpoint(arms=(Arm(bundle="b1"),))
        target = Target(base_url=upstream.base_url, served_name="served-b1")
        snapshot = RouteSnapshot(
            version=1, endpoints={"desk": endpoint, "hr": endpoint}, bundles={"b1": target}
        )
        routes.publish(snapshot, gateway.routes_file)
        gateway.start()
        yield f"{gateway.url}/v1"
        gateway.close()


class TestChatOpenAIThroughTheGateway(ChatModelIntegrationTests):
    """Without images, sounds and documents: the suite fetches its samples from the internet."""

    @pytest.fixture(autouse=True)
    def _address(self, desk: str) -> None:
        self._base_url = desk

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "desk",
            "base_url": self._base_url,
            "api_key": "none",
            "stream_usage": True,
            "max_retries": 0,
        }

    @property
    def model_override_value(self) -> str:
        """Another endpoint."""
        return "hr"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True
