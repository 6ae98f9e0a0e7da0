"""Which rows are of one conversation: logs hold one conversation many times, a turn longer each.

Rows are of one conversation where they begin with the same turns up to the same answer. A beginning
that many conversations share, such as a greeting and its reply, does not make them one: there the
next answer decides. Turns are compared in forgiving form; system texts do not count, as in
`Example.input_text`.

A beginning is known by its digest of 64 bits, made of that of the beginning before and of the next
turn: a row takes time in proportion to its turns.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import reduce
from hashlib import blake2b
from itertools import accumulate, chain

from tuneloop.datasets.example import Example
from tuneloop.sameness import forgiving

_CONTINUATIONS = 8
"""A beginning that goes on in more ways is one that many conversations share. A conversation goes
on in one way, or in a few where people asked again."""
_ASSISTANT = "assistant"
_NOTHING = 0

_Answers = Sequence[int]
"""For each answer to a user three beginnings: up to before it, with it, with the next turn too."""


def conversation_keys(examples: Sequence[Example], *, reference: int | None = None) -> list[str]:
    """For each example the key of its conversation, equal for all rows of it and for no other.

    Empty for a row of one turn that no other goes on from, and for one that ends where many
    conversations begin. Which beginnings many share is told by the first `reference` examples
    (default: all). A key means nothing beyond this list.
    """
    longer = _longer(examples)
    counted = len(examples) if reference is None else reference
    shared = _shared(answers for row, answers in longer.items() if row < counted)
    openings = {answers[0] for answers in longer.values()}
    keys = [""] * len(examples)
    for row, example in enumerate(examples) if longer else ():
        answers = longer.get(row) or _only_answer(example, openings)
        decides = next((answer for answer in answers[1::3] if answer not in shared), None)
        keys[row] = "" if decides is None else f"{decides:016x}"
    return keys


def of_one_conversation(
    examples: Sequence[Example], others: Sequence[Example]
) -> Iterator[tuple[int, int]]:
    """Pairs of an example and another that are of one conversation.

    Of another without an answer, such as a test case, the prompt is enough: an example holds it,
    answered, among its turns.
    """
    keys = conversation_keys([*examples, *others])
    with_key: dict[str, list[int]] = {}
    with_prompt: dict[int, list[int]] = {}
    for number, other in enumerate(others):
        with_key.setdefault(keys[len(examples) + number], []).append(number)
        if not other.completion:
            with_prompt.setdefault(_prompt(other), []).append(number)
    for row, key in enumerate(keys[: len(examples)]):
        if key:
            yield from ((row, number) for number in with_key.get(key, ()))
    longer = _longer(examples) if with_prompt else {}
    shared = _shared(longer.values())
    for row, answers in longer.items():
        for asked, answer in zip(answers[::3], answers[1::3], strict=True):
            if asked in with_prompt and not {asked, answer} & shared:
                yield from ((row, number) for number in with_prompt[asked])


def _longer(examples: Sequence[Example]) -> Mapping[int, _Answers]:
    """The answers of the examples that hold one among the turns before their own."""
    answers = {
        row: _answers(example)
        for row, example in enumerate(examples)
        if any(message.role == "assistant" for message in example.messages)
    }
    return {row: beginnings for row, beginnings in answers.items() if beginnings}


def _shared(rows: Iterable[_Answers]) -> set[int]:
    """Beginnings that go on in many ways."""
    first: dict[int, int] = {}
    forks: dict[int, set[int]] = {}
    for answers in rows:
        asked, answered, after = answers[::3], answers[1::3], answers[2::3]
        for beginning, following in chain(
            zip(asked, answered, strict=True), zip(answered, after, strict=True)
        ):
            if following == _NOTHING or first.setdefault(beginning, following) == following:
                continue
            fork = forks.setdefault(beginning, {first[beginning]})
            if len(fork) <= _CONTINUATIONS:
                fork.add(following)
    return {beginning for beginning, fork in forks.items() if len(fork) > _CONTINUATIONS}


def _answers(example: Example) -> _Answers:
    turns = _prompt_turns(example)
    if example.completion:
        turns.append((_ASSISTANT, example.completion))
    beginnings = [*accumulate(turns, _gone_on, initial=_NOTHING), _NOTHING]
    asked = next((at for at, (role, _) in enumerate(turns) if role == "user"), len(turns))
    answers = (at for at in range(asked, len(turns)) if turns[at][0] == _ASSISTANT)
    return array("Q", (beginning for at in answers for beginning in beginnings[at : at + 3]))


def _only_answer(example: Example, openings: Set[int]) -> _Answers:
    """The same for a row without history, where others begin with its prompt."""
    if not example.completion or (asked := _prompt(example)) not in openings:
        return ()
    return asked, _gone_on(asked, (_ASSISTANT, example.completion)), _NOTHING


def _prompt(example: Example) -> int:
    return reduce(_gone_on, _prompt_turns(example), _NOTHING)


def _prompt_turns(example: Example) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in example.messages if turn.role != "system"]


def _gone_on(beginning: int, turn: tuple[str, str]) -> int:
    """The beginning that is one turn, a role and a text, longer."""
    role, text = turn
    said = f"{beginning:016x} {role}: {forgiving(text)}".encode()
    return int.from_bytes(blake2b(said, digest_size=8).digest())
