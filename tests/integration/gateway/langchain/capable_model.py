"""A script for `ScriptedUpstream` that behaves like a capable model: it does what it is told.

It calls the tool that it must or that the question is about, answers in the form that is asked for,
and talks otherwise. What it fills in comes from the JSON schema and from the question.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tuneloop.testing.upstream import Received, Reply

_JOKE = {"setup": "Why do cats sit on keyboards?", "punchline": "They want to be online."}
_TALK = "Hello! I am glad to be of help with whatever you would like to know."


def answer(request: Received) -> Reply:
    """One turn of a conversation."""
    body = request.body
    question = _question(body["messages"])
    tool = _tool_to_call(body, question)
    if tool is not None:
        arguments = json.dumps(_filled_in(tool.get("parameters", {}), question))
        function = {"name": tool["name"], "arguments": arguments}
        return Reply(tool_calls=({"id": "call_1", "type": "function", "function": function},))
    text = _text(body.get("response_format") or {"type": "text"}, question)
    return Reply(text=text, pieces=tuple(re.findall(r"\S+\s*", text)))


def _text(form: dict[str, Any], question: str) -> str:
    if form["type"] == "json_schema":
        return json.dumps(_filled_in(form["json_schema"]["schema"], question))
    return json.dumps(_JOKE) if form["type"] == "json_object" else _TALK


def _question(messages: list[dict[str, Any]]) -> str:
    """The last thing that the user said."""
    said = next(m["content"] for m in reversed(messages) if m["role"] == "user")
    if isinstance(said, str):
        return said
    return " ".join(part["text"] for part in said if part["type"] == "text")


def _tool_to_call(body: dict[str, Any], question: str) -> dict[str, Any] | None:
    tools = [tool["function"] for tool in body.get("tools") or ()]
    choice = body.get("tool_choice") or "auto"
    if not tools or choice == "none":
        return None
    if isinstance(choice, dict):
        return next(tool for tool in tools if tool["name"] == choice["function"]["name"])
    if choice == "required":
        return _most_fitting(tools, question) or tools[0]
    has_result = body["messages"][-1]["role"] == "tool"
    return None if has_result else _most_fitting(tools, question)


def _most_fitting(tools: list[dict[str, Any]], question: str) -> dict[str, Any] | None:
    """The tool whose name has most words in common with the question, if any has."""
    words = set(re.findall(r"[a-z]+", question.lower()))
    common = [len(words & set(tool["name"].lower().split("_"))) for tool in tools]
    best = max(common)
    return tools[common.index(best)] if best else None


def _filled_in(schema: dict[str, Any], question: str) -> Any:
    """A value of the schema: defaults and choices first, else what the question holds."""
    definitions = schema.get("$defs", {})

    def value(part: dict[str, Any]) -> Any:
        if "$ref" in part:
            return value(definitions[part["$ref"].rpartition("/")[2]])
        for several in ("anyOf", "oneOf", "allOf"):
            if several in part:
                return value(part[several][0])
        if "enum" in part:
            return part["enum"][0]
        if "properties" in part or part.get("type") == "object":
            return {name: value(one) for name, one in part.get("properties", {}).items()}
        if part.get("type") == "array":
            return [value(part.get("items", {"type": "string"}))]
        number = re.search(r"\d+", question)
        simple = {
            "integer": int(number[0]) if number else 0,
            "number": float(number[0]) if number else 0.0,
            "boolean": True,
            "null": None,
        }
        return simple.get(part.get("type", "string"), question)

    return value(schema)
