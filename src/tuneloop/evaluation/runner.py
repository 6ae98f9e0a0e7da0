"""Asks a target every case of a suite, once, and keeps each answer as it comes.

The answers go to a JSON Lines file: a head line that says who was asked and how it samples, then
one line an answer, under the digest of the prompt. After a kill the same call reuses the answers
that are there and asks only the rest, as does another suite that holds some of the same prompts;
failed requests are asked again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.suites import Case, Messages, Suite, Tools
from tuneloop.evaluation.targets import TOO_LONG, Answer, BatchTarget, ChatTarget, asked
from tuneloop.hashing import digest_json, short
from tuneloop.progress import Progress, Silent

_SILENT_REQUESTS = 20


@dataclass(frozen=True, kw_only=True)
class SuiteAnswers:
    """One target's answers to one suite, to all cases that it was asked."""

    suite: Suite
    target: str
    """the target's identity"""
    answers: Mapping[str, Answer]
    """case id → answer"""
    reused: int = 0
    """answers that were known before"""


def ask(
    suite: Suite,
    target: ChatTarget,
    *,
    folder: Path | None = None,
    known: Mapping[str, Answer] | None = None,
    alone: bool = False,
    beside: bool = False,
    concurrency: int = 4,
    progress: Progress | None = None,
) -> SuiteAnswers:
    """Ask every case of a suite whose answer is not known.

    `folder` keeps the answers between runs; without it nothing is written. `known` holds answers
    that the target gave elsewhere with the same sampling: prompt digest → answer. `alone`: answers
    that were given while another server was at work are not known. `beside`: one is now.

    Raises:
        EvaluationError: the first requests all fail (the server is not there, or refuses), or the
            answers cannot be written.
    """
    progress = progress or Silent()
    head = _head(target)
    path = _file(folder, head) if folder else None
    by_prompt = _known(known or {}, _finished(path, head) if path else {}, alone=alone)
    prompts = {case.id: prompt_digest(case.messages, case.tools) for case in suite.cases}
    answers = {case: by_prompt[prompt] for case, prompt in prompts.items() if prompt in by_prompt}
    reused = len(answers)
    open_cases = [case for case in suite.cases if case.id not in answers]
    # Asked grouped by system text, so that a server's prompt cache holds; those that take longest
    # first, so that no slot has a long one left to do when the others are through.
    open_cases.sort(key=lambda case: (_system(case), -_work(case)))
    silence = _Silence(suite, target, limit=min(_SILENT_REQUESTS, len(open_cases)))
    with _Log(path, head, by_prompt) as log:
        for case, given in _asked(open_cases, target, concurrency):
            answer = replace(given, beside=beside)
            silence.check(answer)
            answers[case.id] = answer
            log.add(prompts[case.id], answer)
            progress.update(len(answers), len(suite.cases), suite.name)
    return SuiteAnswers(suite=suite, target=target.identity, answers=answers, reused=reused)


def is_answered(
    suite: Suite,
    target: ChatTarget,
    *,
    folder: Path | None = None,
    known: Mapping[str, Answer] | None = None,
) -> bool:
    """Whether `ask` with the same arguments would ask nothing."""
    by_prompt = _known(known or {}, answers_kept(folder, target) if folder else {}, alone=False)
    return all(prompt_digest(case.messages, case.tools) in by_prompt for case in suite.cases)


def _known(*answers: Mapping[str, Answer], alone: bool) -> dict[str, Answer]:
    return {
        prompt: answer
        for some in answers
        for prompt, answer in some.items()
        if not (alone and answer.beside)
    }


def answers_kept(folder: Path, target: ChatTarget) -> dict[str, Answer]:
    """What `ask` kept of a target in this folder: prompt digest → answer."""
    head = _head(target)
    return _finished(_file(folder, head), head)


def _head(target: ChatTarget) -> dict[str, Any]:
    return {"target": target.identity, "sampling": target.sampling.as_request()}


def _file(folder: Path, head: Mapping[str, Any]) -> Path:
    return folder / f"{short(digest_json(head))}.jsonl"


def _system(case: Case) -> str:
    first = case.messages[0]
    return str(first["content"]) if first["role"] == "system" else ""


def _work(case: Case) -> int:
    """How long a case takes beside others, in characters to read: to write one takes about as long
    as to read four (docs/decisions/0014, costs)."""
    return sum(len(str(m["content"])) for m in case.messages) + 4 * len(case.expected or "")


def _asked(
    cases: Sequence[Case], target: ChatTarget, concurrency: int
) -> Iterator[tuple[Case, Answer]]:
    prompts: list[Messages] = [case.messages for case in cases]
    if isinstance(target, BatchTarget):
        tools = [case.tools for case in cases]
        answers = (
            target.complete_many(prompts, tools) if any(tools) else target.complete_many(prompts)
        )
        for index, answer in answers:
            yield cases[index], answer
        return
    waiting = iter(cases)
    pending: dict[Future[Answer], Case] = {}
    pool = ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="ask")
    try:
        while True:
            # No more is begun than can be answered at once: a stop then loses little.
            for case in islice(waiting, concurrency - len(pending)):
                pending[pool.submit(asked, target, case)] = case
            if not pending:
                return
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            # What broke comes last, so that the answers beside it are kept.
            for future in sorted(done, key=lambda future: future.exception() is not None):
                yield pending.pop(future), future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def prompt_digest(messages: Messages, tools: Tools = ()) -> str:
    """What an answer is kept under: the identity of everything that the target read."""
    spoken = [dict(message) for message in messages]
    return digest_json({"messages": spoken, "tools": list(map(dict, tools))} if tools else spoken)


def _finished(path: Path, head: dict[str, Any]) -> dict[str, Answer]:
    """Earlier answers by prompt; a line that a kill cut short is left out and asked again."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (FileNotFoundError, UnicodeDecodeError):
        return {}
    rows = list(_parsed(lines))
    if not rows or rows[0] != head:
        return {}
    answers = {row["prompt"]: Answer(**row["answer"]) for row in rows[1:]}
    return {prompt: answer for prompt, answer in answers.items() if answer.error is None}


def _parsed(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row


class _Log:
    """The file of answers; rewritten with what is valid when it is opened."""

    def __init__(
        self, path: Path | None, head: dict[str, Any], answers: Mapping[str, Answer]
    ) -> None:
        self._path = path
        self._head = head
        self._start = dict(answers)
        self._file: IO[str] | None = None

    def __enter__(self) -> _Log:
        if self._path is None:
            return self
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._path.with_suffix(".part")
            with partial.open("w", encoding="utf-8") as file:
                file.write(json.dumps(self._head) + "\n")
                file.writelines(_line(prompt, answer) for prompt, answer in self._start.items())
            partial.replace(self._path)
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as e:
            raise _unwritable(self._path, e) from e
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, prompt: str, answer: Answer) -> None:
        if self._file is None or self._path is None:
            return
        try:
            self._file.write(_line(prompt, answer))
            self._file.flush()
        except OSError as e:
            raise _unwritable(self._path, e) from e


def _line(prompt: str, answer: Answer) -> str:
    # ASCII escapes: a lone surrogate in an answer must not stop the run.
    return json.dumps({"prompt": prompt, "answer": asdict(answer)}) + "\n"


def _unwritable(path: Path, error: OSError) -> EvaluationError:
    return EvaluationError(
        f"The answers cannot be written to {path}: {os.strerror(error.errno or 0)}.",
        remedy="Free some space and run the same command again: it continues.",
    )


class _Silence:
    """A server that answers nothing is no bad model: stop instead of reporting 0 %."""

    def __init__(self, suite: Suite, target: ChatTarget, *, limit: int) -> None:
        self._suite = suite.name
        self._target = target.identity
        self._limit = limit
        self._errors = 0
        self._answered = False

    def check(self, answer: Answer) -> None:
        if (answer.error or "").startswith(TOO_LONG):  # It takes a live server to say so.
            return
        self._answered = self._answered or answer.error is None
        self._errors += answer.error is not None
        if not self._answered and self._errors >= self._limit:
            raise EvaluationError(
                f"The first {self._errors} requests of suite {self._suite!r} to {self._target} "
                f"all failed; the last error: {answer.error}.",
                remedy="Check that the model server is up, then run the same command again.",
            )
