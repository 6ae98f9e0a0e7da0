"""A scripted judge for tests: any model server of `ScriptedUpstream` that answers with verdicts.

with ScriptedUpstream(judge_script(lambda quoted: verdict(5 if "refund" in quoted else 1))) as it:
    ...  # it.base_url is `judge.base_url`
"""

from __future__ import annotations

import json
from collections.abc import Callable

from tuneloop.testing.upstream import Received, Reply, Script


def verdict(score: object, reason: str = "because", *, key: str = "score") -> str:
    """What a judge writes; `key` is `better` where it is asked about a pair."""
    return json.dumps({"reason": reason, key: score})


def judge_script(say: Callable[[str], str], *, model: str = "judge-2026-01") -> Script:
    """Answer with `say(text that is judged, as it is quoted)`, as the model of this name."""

    def script(request: Received) -> Reply:
        text = say(request.body["messages"][1]["content"])
        body = {
            "model": model,
            "choices": [
                {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 90, "completion_tokens": 10},
        }
        return Reply(body=json.dumps(body).encode())

    return script
