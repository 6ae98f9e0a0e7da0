"""TensorZero's embedded gateway behind the thinnest server: run in TensorZero's environment.

    python tensorzero_app.py --config tensorzero.toml --port P

Granian's RSGI, uvloop and msgspec, each the fastest of its kind that was tried, put the OpenAI
format around `AsyncTensorZeroGateway.inference`. Knows no error handling: it only serves the bench.
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec
import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server
from tensorzero import AsyncTensorZeroGateway, TextChunk

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_JSON = [("content-type", "application/json")]
_EVENTS = [("content-type", "text/event-stream"), ("cache-control", "no-cache")]


async def _serve(config: str, port: int) -> None:
    gateway = await AsyncTensorZeroGateway.build_embedded(config_file=config)

    async def app(scope: Any, protocol: Any) -> None:
        request = _decode(await protocol())
        answer = await gateway.inference(
            model_name=request["model"],
            input={"messages": request["messages"]},
            params={"chat_completion": {"temperature": request["temperature"]}},
            stream=request.get("stream", False),
        )
        if request.get("stream"):
            await _stream(request["model"], answer, protocol.response_stream(200, _EVENTS))
        else:
            protocol.response_bytes(200, _JSON, _encode(_completion(request["model"], answer)))

    server = Server(
        app,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        log_enabled=False,
    )
    await server.serve()


def _completion(model: str, answer: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer.content[0].text}
    usage = answer.usage
    return {
        "id": str(answer.inference_id),
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason.value}],
        "usage": {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens},
    }


async def _stream(model: str, chunks: Any, transport: Any) -> None:
    async for chunk in chunks:
        text = "".join(part.text for part in chunk.content if isinstance(part, TextChunk))
        reason = chunk.finish_reason.value if chunk.finish_reason else None
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
        event = {
            "id": str(chunk.inference_id),
            "object": "chat.completion.chunk",
            "created": 0,
            "model": model,
            "choices": [choice],
        }
        await transport.send_bytes(b"data: " + _encode(event) + b"\n\n")
    await transport.send_bytes(b"data: [DONE]\n\n")


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvloop.run(_serve(options.config, options.port))


if __name__ == "__main__":
    main()
