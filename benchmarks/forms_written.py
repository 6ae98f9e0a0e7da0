"""Conversations written in the formats in use, with and without faults: what bench_forms reads.

Written from the formats' own descriptions and not from the parser: OpenAI fine-tuning (chat,
tools, functions, preference), ShareGPT and LLaMA-Factory, Alpaca, Dolly, TRL, KTO, the masks of
Axolotl and ms-swift, Gemini, Bedrock, Cohere, Firefly, hh-rlhf, SQuAD, exports of Label Studio,
Argilla, Prodigy, LangSmith and Langfuse.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

Row = dict[str, Any]
_WORDS = (
    *("kettle", "lamp", "heater", "pump", "bell", "tent", "radio", "blender", "printer"),
    *("fan", "clock", "juicer", "scooter", "drill", "camera", "vacuum", "rake", "hose"),
    *("chair", "sofa", "shelf", "mirror", "towel", "carpet", "plant", "basket", "bottle"),
    *("candle", "ladder", "hammer", "wrench", "saw", "nail", "brush", "bucket", "glove"),
    *("helmet", "saddle", "pedal", "tyre", "wheel", "chain", "brake", "horn", "flag"),
    *("rope", "anchor", "sail", "oar", "paddle", "float", "buoy", "net", "hook"),
    *("reel", "rod", "lure", "boot", "sock", "scarf", "hat", "belt", "button"),
)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What somebody says."""

    role: str
    text: str = ""
    call: dict[str, Any] | None = None
    """Of an assistant: name and arguments of the tool that is called."""
    thought: str = ""
    learnt: bool = True


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A conversation, and what is to be learnt of it."""

    turns: tuple[Turn, ...]
    system: str = ""
    context: str = ""
    """What the question is about, where a format has a column for it."""
    rejected: str | None = None
    tools: tuple[dict[str, Any], ...] = ()
    usable: bool = True
    """Whether its row may be learnt from at all."""

    def answers(self) -> list[tuple[tuple[tuple[str, str], ...], str]]:
        """Every answer that is to be learnt, with the turns before it."""
        said: list[tuple[str, str]] = [("system", self.system)] if self.system else []
        learnt = []
        for number, turn in enumerate(self.turns):
            text = said_by(turn)
            if number == 0 and self.context:
                text = f"{text}\n\n{self.context}"
            asked = bool(said) and said[-1][0] in ("user", "tool")
            last = number == len(self.turns) - 1
            pairs_last_only = self.rejected is None or last
            if turn.role == "assistant" and turn.learnt and asked and pairs_last_only:
                learnt.append((tuple(said), text))
            said.append((turn.role, text))
        return learnt


def said_by(turn: Turn) -> str:
    """A turn as one text; a call as tuneloop documents it."""
    if turn.call is None:
        return turn.text
    return json.dumps({"tool_calls": [turn.call]}, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format: which conversations it can hold, and how it writes them."""

    write: Callable[[Spoken], Row]
    multi_turn: bool = False
    system: bool = True
    context: bool = False
    pair: bool = False
    tools: bool = False
    chat: bool = False
    """Whether its turns stand in a list, so that a turn can be masked."""
    nested: bool = False
    """Whether its own keys are fixed by a program, so that nobody renames them."""
    faults: tuple[str, ...] = field(default=())


def make(form: Format, rng: random.Random) -> Spoken:
    """A conversation that no other one is like."""
    turns = []
    for _ in range(rng.randint(2, 3) if form.multi_turn else 1):
        turns.append(Turn(role="user", text=_sentence(rng)))
        if form.tools and rng.random() < 0.5:
            call = {"arguments": {"item": rng.choice(_WORDS)}, "name": "stock"}
            turns.append(Turn(role="assistant", call=call))
            turns.append(Turn(role="tool", text=f"{rng.randint(1, 999)} of them"))
        turns.append(Turn(role="assistant", text=_sentence(rng)))
    return Spoken(
        turns=tuple(turns),
        system=_sentence(rng) if form.system and rng.random() < 0.5 else "",
        context=_sentence(rng) if form.context and rng.random() < 0.5 else "",
        rejected=_sentence(rng) if form.pair else None,
        tools=(_TOOL,) if form.tools else (),
    )


def _sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(_WORDS, k=14)).capitalize() + "."


_TOOL = {
    "type": "function",
    "function": {
        "name": "stock",
        "description": "How many are left.",
        "parameters": {"type": "object", "properties": {"item": {"type": "string"}}},
    },
}


def _openai_turn(turn: Turn) -> Row:
    row: Row = {"role": turn.role, "content": turn.text}
    if turn.call is not None:
        function = {"name": turn.call["name"], "arguments": json.dumps(turn.call["arguments"])}
        row = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        }
    if turn.role == "tool":
        row["tool_call_id"] = "c1"
    if turn.thought:
        row["reasoning_content"] = turn.thought
    if not turn.learnt:
        row["weight"] = 0
    return row


def _openai(spoken: Spoken) -> Row:
    system = [{"role": "system", "content": spoken.system}] if spoken.system else []
    row: Row = {"messages": [*system, *map(_openai_turn, spoken.turns)]}
    if spoken.tools:
        row["tools"] = list(spoken.tools)
    return row


def _openai_functions(spoken: Spoken) -> Row:
    row = _openai(spoken)
    row["functions"] = [tool["function"] for tool in row.pop("tools")]
    for turn in row["messages"]:
        if calls := turn.pop("tool_calls", None):
            turn["function_call"] = calls[0]["function"]
        if turn["role"] == "tool":
            turn.pop("tool_call_id")
            turn |= {"role": "function", "name": "stock"}
    return row


_SHAREGPT = {"user": "human", "assistant": "gpt", "tool": "observation"}


def _sharegpt_turn(turn: Turn) -> Row:
    if turn.call is not None:
        return {"from": "function_call", "value": json.dumps(turn.call)}
    row: Row = {"from": _SHAREGPT[turn.role], "value": turn.text}
    return row if turn.learnt else {**row, "train": False}


def _sharegpt(spoken: Spoken) -> Row:
    row: Row = {"conversations": list(map(_sharegpt_turn, spoken.turns))}
    if spoken.system:
        row["system"] = spoken.system
    if spoken.tools:
        row["tools"] = json.dumps([tool["function"] for tool in spoken.tools])
    return row


def _last(spoken: Spoken) -> tuple[str, str]:
    return spoken.turns[-2].text, spoken.turns[-1].text


def _alpaca(spoken: Spoken) -> Row:
    asked, answer = _last(spoken)
    row: Row = {"instruction": asked, "input": spoken.context, "output": answer}
    if spoken.system:
        row["system"] = spoken.system
    if len(spoken.turns) > 2:
        texts = [turn.text for turn in spoken.turns[:-2]]
        row["history"] = [list(pair) for pair in zip(texts[::2], texts[1::2], strict=True)]
    return row


def _columns(prompt: str, answer: str, context: str = "", system: str = "system") -> Any:
    def write(spoken: Spoken) -> Row:
        row: Row = {prompt: spoken.turns[0].text, answer: spoken.turns[1].text}
        if spoken.context:
            row[context] = spoken.context
        if spoken.system:
            row[system] = spoken.system
        return row

    return write


def _conversational(spoken: Spoken) -> Row:
    turns = _openai(spoken)["messages"]
    return {"prompt": turns[:-1], "completion": turns[-1:]}


def _pair(spoken: Spoken) -> Row:
    asked, answer = _last(spoken)
    row: Row = {"prompt": asked, "chosen": answer, "rejected": spoken.rejected}
    return {**row, "system": spoken.system} if spoken.system else row


def _whole_pair(spoken: Spoken) -> Row:
    turns = _openai(spoken)["messages"]
    worse = [*turns[:-1], {"role": "assistant", "content": spoken.rejected}]
    return {"chosen": turns, "rejected": worse, "score_chosen": 8.0, "score_rejected": 2.5}


def _ultrafeedback(spoken: Spoken) -> Row:
    row = _whole_pair(replace(spoken, system=""))
    return {"prompt": spoken.turns[0].text, "messages": row["chosen"], **row}


def _openai_preference(spoken: Spoken) -> Row:
    turns = _openai(spoken)["messages"]
    return {
        "input": {"messages": turns[:-1], "tools": [], "parallel_tool_calls": True},
        "preferred_output": turns[-1:],
        "non_preferred_output": [{"role": "assistant", "content": spoken.rejected}],
    }


def _ranking(spoken: Spoken) -> Row:
    row = _sharegpt(replace(spoken, turns=spoken.turns[:-1]))
    row["chosen"] = {"from": "gpt", "value": spoken.turns[-1].text}
    row["rejected"] = {"from": "gpt", "value": spoken.rejected}
    return row


def _label_studio(spoken: Spoken) -> Row:
    result = {"from_name": "reply", "to_name": "text", "type": "textarea"}
    answer = {**result, "value": {"text": [spoken.turns[1].text]}}
    annotation = {"id": 1, "was_cancelled": False, "result": [answer], "lead_time": 12.5}
    skipped = {"id": 2, "was_cancelled": True, "result": []}
    data = {"text": spoken.turns[0].text}
    return {"id": 7, "data": data, "annotations": [skipped, annotation], "predictions": []}


def _argilla(spoken: Spoken) -> Row:
    response = {"value": spoken.turns[1].text, "user_id": "u", "status": "submitted"}
    fields = {"prompt": spoken.turns[0].text}
    return {"id": "r", "fields": fields, "responses": {"reply": [response]}, "suggestions": {}}


def _argilla_flat(spoken: Spoken) -> Row:
    return {
        "prompt": spoken.turns[0].text,
        "reply.responses": [spoken.turns[1].text],
        "reply.responses.users": ["u"],
        "reply.responses.status": ["submitted"],
        "reply.suggestion": "a guess of a model",
    }


def _marked(**mark: Any) -> Callable[[Spoken], Row]:
    """Messages with the mark of another trainer on what is not to be learnt."""

    def write(spoken: Spoken) -> Row:
        row = _openai(spoken)
        for turn in row["messages"]:
            if turn.pop("weight", 1) == 0:
                turn |= mark
        return row

    return write


def _gemini(spoken: Spoken) -> Row:
    roles = {"user": "user", "assistant": "model"}
    row: Row = {
        "contents": [
            {"role": roles[turn.role], "parts": [{"text": turn.text}]} for turn in spoken.turns
        ]
    }
    if spoken.system:
        row["systemInstruction"] = {"role": "system", "parts": [{"text": spoken.system}]}
    return row


def _bedrock(spoken: Spoken) -> Row:
    row: Row = {
        "schemaVersion": "bedrock-conversation-2024",
        "messages": [{"role": t.role, "content": [{"text": t.text}]} for t in spoken.turns],
    }
    return {**row, "system": [{"text": spoken.system}]} if spoken.system else row


def _cohere(spoken: Spoken) -> Row:
    roles = {"system": "System", "user": "User", "assistant": "Chatbot"}
    row = _openai(spoken)
    return {"messages": [{**turn, "role": roles[turn["role"]]} for turn in row["messages"]]}


def _role_and_text(spoken: Spoken) -> Row:
    row = _openai(spoken)
    renamed = [
        {"text" if key == "content" else key: item for key, item in turn.items()}
        for turn in row["messages"]
    ]
    return {"conversation": renamed}


def _firefly(spoken: Spoken) -> Row:
    texts = [turn.text for turn in spoken.turns]
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return {"conversation": [{"human": asked, "assistant": said} for asked, said in pairs]}


def _hh(spoken: Spoken) -> Row:
    names = {"user": "Human", "assistant": "Assistant"}
    said = [f"\n\n{names[turn.role]}: {turn.text}" for turn in spoken.turns[:-1]]
    before = "".join(said) + "\n\nAssistant: "
    return {"chosen": before + spoken.turns[-1].text, "rejected": f"{before}{spoken.rejected}"}


def _squad(spoken: Spoken) -> Row:
    asked, answer = _last(spoken)
    row: Row = {"id": "s", "question": asked, "answers": {"text": [answer], "answer_start": [0]}}
    return {**row, "context": spoken.context} if spoken.context else row


def _prodigy(spoken: Spoken) -> Row:
    asked, answer = _last(spoken)
    return {
        "text": asked,
        "_input_hash": 1,
        "_task_hash": 2,
        "options": [{"id": answer, "text": answer}, {"id": "x", "text": "Something else."}],
        "accept": [answer],
        "answer": "accept",
    }


def _langsmith(spoken: Spoken) -> Row:
    turns = _openai(spoken)["messages"]
    return {"inputs": {"messages": turns[:-1]}, "outputs": {"message": turns[-1]}, "metadata": {}}


def _langfuse(spoken: Spoken) -> Row:
    turns = _openai(spoken)["messages"]
    return {"id": "t", "input": turns[:-1], "output": turns[-1], "expectedOutput": None}


def _trace(spoken: Spoken) -> Row:
    asked, answer = _last(spoken)
    return {"inputs": {"question": asked}, "outputs": {"answer": answer}}


FORMATS: dict[str, Format] = {
    "openai-chat": Format(write=_openai, multi_turn=True, chat=True),
    "openai-tools": Format(write=_openai, multi_turn=True, chat=True, tools=True),
    "openai-functions": Format(write=_openai_functions, tools=True, chat=True),
    "openai-preference": Format(write=_openai_preference, pair=True, nested=True),
    "sharegpt": Format(write=_sharegpt, multi_turn=True, chat=True),
    "sharegpt-tools": Format(write=_sharegpt, tools=True, chat=True),
    "llama-factory-ranking": Format(write=_ranking, pair=True),
    "alpaca": Format(write=_alpaca, context=True),
    "alpaca-history": Format(write=_alpaca, multi_turn=True),
    "dolly": Format(
        write=_columns("instruction", "response", "context"), context=True, system=False
    ),
    "question-answer": Format(write=_columns("question", "answer", "context"), context=True),
    "openorca": Format(write=_columns("question", "response", system="system_prompt")),
    "trl-prompt-completion": Format(write=_columns("prompt", "completion")),
    "trl-conversational": Format(write=_conversational),
    "trl-preference": Format(write=_pair, pair=True),
    "trl-implicit-preference": Format(write=_whole_pair, pair=True),
    "ultrafeedback": Format(write=_ultrafeedback, pair=True, system=False),
    "label-studio": Format(write=_label_studio, system=False, nested=True),
    "argilla": Format(write=_argilla, system=False, nested=True),
    "argilla-flat": Format(write=_argilla_flat, system=False, nested=True),
    "axolotl-training": Format(write=_marked(training=False), multi_turn=True, chat=True),
    "ms-swift-loss": Format(write=_marked(loss=False), multi_turn=True, chat=True),
    "torchtune-masked": Format(write=_marked(masked=True), multi_turn=True, chat=True),
    "chat-log-thumbs": Format(write=_marked(thumbs="down"), multi_turn=True, chat=True),
    "gemini": Format(write=_gemini, multi_turn=True, nested=True),
    "bedrock": Format(write=_bedrock, multi_turn=True, nested=True),
    "cohere": Format(write=_cohere, multi_turn=True, chat=True),
    "role-and-text": Format(write=_role_and_text, multi_turn=True, chat=True),
    "firefly": Format(write=_firefly, multi_turn=True, system=False, nested=True),
    "hh-rlhf": Format(write=_hh, multi_turn=True, pair=True, system=False),
    "squad": Format(write=_squad, context=True, system=False, nested=True),
    "context-qa": Format(
        write=_columns("question", "answer", "article"), context=True, system=False
    ),
    "prodigy": Format(write=_prodigy, system=False, nested=True),
    "langsmith-chat": Format(write=_langsmith, nested=True),
    "langfuse": Format(write=_langfuse, nested=True),
    "trace": Format(write=_trace, system=False, nested=True),
}
"""Name → how it is written."""

Fault = Callable[[Row, Spoken, Format, random.Random], "tuple[Row, Spoken] | None"]
"""The row and what is to be made of it; None: the format has no such fault."""


def _add(**keys: Any) -> Fault:
    """A key that says that the row is not to be learnt, or cannot be."""
    return lambda row, spoken, form, rng: ({**row, **keys}, replace(spoken, usable=False))


def _mark(**keys: Any) -> Fault:
    """The same for marks of single answers: a pair says already which one is bad."""

    def fault(
        row: Row, spoken: Spoken, form: Format, rng: random.Random
    ) -> tuple[Row, Spoken] | None:
        return None if form.pair else ({**row, **keys}, replace(spoken, usable=False))

    return fault


def _harmless(**keys: Any) -> Fault:
    return lambda row, spoken, form, rng: ({**keys, **row}, spoken)


def _renamed(
    row: Row, spoken: Spoken, form: Format, rng: random.Random
) -> tuple[Row, Spoken] | None:
    if form.nested:
        return None
    case = rng.choice(["upper", "title"])
    return {getattr(key, case)(): item for key, item in row.items()}, spoken


def _masked(
    row: Row, spoken: Spoken, form: Format, rng: random.Random
) -> tuple[Row, Spoken] | None:
    """One of several answers is context only."""
    places = [i for i, t in enumerate(spoken.turns) if t.role == "assistant" and t.call is None]
    if not form.chat or len(places) < 2:
        return None
    chosen = rng.choice(places)
    turns = [replace(t, learnt=i != chosen) for i, t in enumerate(spoken.turns)]
    masked = replace(spoken, turns=tuple(turns))
    return form.write(masked), masked


def _thought(
    row: Row, spoken: Spoken, form: Format, rng: random.Random
) -> tuple[Row, Spoken] | None:
    """A task that does not think leaves out an answer with a thought; the others stay."""
    if form.write is not _openai:
        return None
    turns = (*spoken.turns[:-1], replace(spoken.turns[-1], thought=_sentence(rng)))
    left = (*spoken.turns[:-1], replace(spoken.turns[-1], learnt=False))
    return form.write(replace(spoken, turns=turns)), replace(spoken, turns=left)


def _no_answer(
    row: Row, spoken: Spoken, form: Format, rng: random.Random
) -> tuple[Row, Spoken] | None:
    if form.chat:
        return form.write(replace(spoken, turns=spoken.turns[:-1])), replace(spoken, usable=False)
    if form.nested or form.pair:
        return None
    answer = next(name for name in _ANSWERS if name in row)
    return {**row, answer: None}, replace(spoken, usable=False)


def _unknown_role(
    row: Row, spoken: Spoken, form: Format, rng: random.Random
) -> tuple[Row, Spoken] | None:
    if not form.chat:
        return None
    turns = (*spoken.turns[:-1], Turn(role="user", text="x"), spoken.turns[-1])
    written = form.write(replace(spoken, turns=turns))
    listed = next(item for item in written.values() if isinstance(item, list))
    listed[-2]["role" if "role" in listed[-2] else "from"] = "narrator"
    return written, replace(spoken, usable=False)


def _context_beside_a_chat(
    row: Row, spoken: Spoken, form: Format, rng: random.Random
) -> tuple[Row, Spoken] | None:
    if not form.chat:
        return None
    return {**row, "context": _sentence(rng)}, replace(spoken, usable=False)


_ANSWERS = ("completion", "response", "output", "answer")


def _second(**columns: Any) -> Fault:
    """A part of the prompt or a second answer beside plain columns, which no format joins."""

    def fault(
        row: Row, spoken: Spoken, form: Format, rng: random.Random
    ) -> tuple[Row, Spoken] | None:
        if form.chat or form.nested or form.pair or not isinstance(row.get(_plain(row)), str):
            return None
        return {**row, **columns}, replace(spoken, usable=False)

    return fault


def _plain(row: Row) -> str:
    return next((name for name in ("prompt", "instruction", "question") if name in row), "")


def _turn_key(**keys: Any) -> Fault:
    """A turn that holds what no template writes."""

    def fault(
        row: Row, spoken: Spoken, form: Format, rng: random.Random
    ) -> tuple[Row, Spoken] | None:
        if not form.chat:
            return None
        listed = next(item for item in row.values() if isinstance(item, list))
        return {**row, **_changed(row, listed, keys)}, replace(spoken, usable=False)

    return fault


def _changed(row: Row, listed: list[Row], keys: Row) -> Row:
    column = next(name for name, item in row.items() if item is listed)
    place = next(i for i, turn in enumerate(listed) if turn.get("role") != "system")
    turns = [{**turn, **keys} if i == place else turn for i, turn in enumerate(listed)]
    return {column: turns}


def _not_accepted(
    row: Row, spoken: Spoken, form: Format, rng: random.Random
) -> tuple[Row, Spoken] | None:
    if form.write is not _prodigy:
        return None
    return {**row, "answer": rng.choice(["reject", "ignore"])}, replace(spoken, usable=False)


def _judged(
    row: Row, spoken: Spoken, form: Format, rng: random.Random
) -> tuple[Row, Spoken] | None:
    """The tool shows an answer, and a person says that it is bad."""
    bad = rng.choice(["bad", 1])
    if form.write is _argilla:
        fields = {**row["fields"], "response": _sentence(rng)}
        response = {"value": bad, "status": "submitted"}
        judged = {**row, "fields": fields, "responses": {"quality": [response]}}
    elif form.write is _label_studio:
        data = {**row["data"], "response": _sentence(rng)}
        kind = {"bad": ("choices", ["bad"]), 1: ("rating", 1)}[bad]
        result = {"from_name": "quality", "type": kind[0], "value": {kind[0]: kind[1]}}
        judged = {**row, "data": data, "annotations": [{"result": [result]}]}
    else:
        return None
    return judged, replace(spoken, usable=False)


def _invisible(
    row: Row, spoken: Spoken, form: Format, rng: random.Random
) -> tuple[Row, Spoken] | None:
    """A byte order mark before the first column's name, a character without width behind others."""
    if form.nested:
        return None
    renamed = {f"{key}\u200b": item for key, item in row.items()}
    first = next(iter(renamed))
    return {f"\ufeff{first}": renamed.pop(first), **renamed}, spoken


def _as_numpy_prints(
    row: Row, spoken: Spoken, form: Format, rng: random.Random
) -> tuple[Row, Spoken] | None:
    """A list of objects in a cell, as pandas writes what it read from Parquet."""
    if not form.chat:
        return None
    printed = {
        key: "[" + "\n ".join(map(repr, item)) + "]" if key != "tools" and _objects(item) else item
        for key, item in row.items()
    }
    return printed, spoken


def _objects(item: Any) -> bool:
    return isinstance(item, list) and all(isinstance(each, dict) for each in item)


FAULTS: dict[str, Fault] = {
    "marked bad": _mark(label=False),
    "thumbs down": _mark(thumbs="down"),
    "kto": _mark(kto_tag=False),
    "rated low": _mark(rating=1),
    "weight 0": _mark(weight=0),
    "half a weight": _mark(weight=0.5),
    "not trained": _mark(train=False),
    "image": _add(images=["a.png"]),
    "documents": _add(documents=[{"title": "t", "text": "x"}]),
    "half a character": _add(note="\ud83d"),
    "marked good": _harmless(label=True),
    "a tag": _harmless(shop="Oulu"),
    "nulls of other forms": _harmless(history=None, segments=None, images=None, kto_tag=None),
    "other case": _renamed,
    "masked turn": _masked,
    "thought": _thought,
    "no answer": _no_answer,
    "unknown role": _unknown_role,
    "context beside a chat": _context_beside_a_chat,
    "wrong": _mark(is_correct=False),
    "deleted": _mark(deleted=True),
    "voted down": _mark(vote="down"),
    "judged bad": _judged,
    "not accepted": _not_accepted,
    "two prompts": _second(text="What the question is about."),
    "two answers": _second(expected="What a person would have said."),
    "a worse answer alone": _second(rejected="What a person would not have said."),
    "instructions beside": _second(instructions="Say it in one word."),
    "choices beside": _second(choices=["one", "another"]),
    "image in a turn": _turn_key(images=["a.png"]),
    "documents in a turn": _turn_key(documents=[{"text": "x"}]),
    "context in a turn": _turn_key(context="x"),
    "invisible characters": _invisible,
    "as numpy prints": _as_numpy_prints,
    "names of other things": _harmless(documents="ID card", segments="b2b", thinking=False),
}
"""Name → what is done to a row; some of them leave it usable."""
