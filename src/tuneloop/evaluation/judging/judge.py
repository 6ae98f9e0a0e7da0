"""The judge: a language model behind any OpenAI-compatible endpoint, asked by a rubric.

Its answers are drawn at temperature 0. Its version is the model that the server says it is, with a
digest of the rubric and of the wording of the question: `MODEL@DIGEST`. Figures of two versions are
not compared.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.judging.answers import JudgeAnswers
from tuneloop.evaluation.judging.prompt import (
    CLAIMS_DIGEST,
    HIGHEST,
    LOWEST,
    VERSION,
    Exchange,
    Prompt,
    claims_prompt,
    pair_prompt,
    score_prompt,
)
from tuneloop.evaluation.judging.verdict import (
    NoVerdictError,
    read_claims,
    read_verdict,
)
from tuneloop.evaluation.targets import TOO_LONG, Answer, OpenAITarget, Sampling
from tuneloop.hashing import digest_json, short
from tuneloop.modelfile import JudgeSettings
from tuneloop.progress import Progress, Silent

_SILENT_REQUESTS = 5
"""Failures in a row that are no fault of one text."""
_OF_THE_TEXT = ("http_400", "http_413", "http_422", TOO_LONG)
"""Refusals of what was sent, such as a text that does not fit the judge's context."""
_SHOWN_CHARACTERS = 200
_UNJUDGED_SHARE = 0.1
"""More answers without a verdict than this are no measurement any more."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class JudgeVerdict:
    """What the judge says about one answer."""

    score: float
    """0 (worst) to 1 (best): the judge's 1 to 5, spread evenly"""
    passed: bool
    """whether it reaches `judge.passes_from`"""
    reason: str
    judge: str
    """the judge's version, e.g. `gpt-4o-2024-08-06@1f0c5d2a9b77`"""
    tokens: int
    """that it took, prompts included; 0 where the answer was known"""


@dataclass(frozen=True, kw_only=True)
class Unjudged:
    """No verdict, and why: a reason code of `NoVerdictError`, or what kept the server."""

    code: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What an answer claims, as the judge lists it."""

    number: int
    unsupported: tuple[str, ...]
    """the claims that the prompt does not support"""
    judge: str
    """the judge's version, of the question for claims"""


@dataclass(kw_only=True)
class Usage:
    """What a judge was asked for so far; added to by its threads."""

    requests: int = 0
    reused: int = 0
    """answers that were known"""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    bad_answers: Counter[str] = field(default_factory=Counter)
    """answers that were no verdict, by reason code; each was asked again if retries were left"""

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.prompt_tokens + self.completion_tokens


class Judge:
    """Asks for verdicts; safe to use from many threads."""

    def __init__(
        self,
        settings: JudgeSettings,
        *,
        api_key: str | None = None,
        known: JudgeAnswers | None = None,
    ) -> None:
        """`known` keeps the judge's answers, so that an evaluation repeated does not ask again."""
        self.settings = settings
        self.usage = Usage()
        self._api_key = api_key
        self._known = known
        self._lock = threading.Lock()
        self._structured = True
        self._failures = 0

    @property
    def rubric(self) -> str:
        """Digest of everything that the judge is told beside the judged text."""
        return rubric_digest(self.settings)

    def score(self, exchange: Exchange) -> JudgeVerdict | Unjudged:
        """Judge one answer.

        Raises:
            EvaluationError: the judge does not answer, again and again.
        """
        prompt = score_prompt(self.settings.rubric, self._to_send(exchange))
        read = partial(
            read_verdict, key="score", values=range(LOWEST, HIGHEST + 1), quoted=prompt.quoted
        )
        verdict = self._ask(prompt, read)
        if isinstance(verdict, Unjudged):
            return verdict
        (value, reason), answer, tokens = verdict
        return JudgeVerdict(
            score=(value - LOWEST) / (HIGHEST - LOWEST),
            passed=value >= self.settings.passes_from,
            reason=reason,
            judge=f"{answer.model or self.settings.model}@{short(self.rubric)}",
            tokens=tokens,
        )

    def score_all(
        self, exchanges: Sequence[Exchange], progress: Progress | None = None
    ) -> list[JudgeVerdict | Unjudged]:
        """Judge many answers, `judge.concurrency` at a time; in their order.

        Raises:
            EvaluationError: the judge does not answer.
        """
        return self._each(self.score, exchanges, progress)

    def claims(self, exchange: Exchange) -> Claims | Unjudged:
        """What one answer claims, and which of it the prompt does not support.

        Raises:
            EvaluationError: the judge does not answer, again and again.
        """
        prompt = claims_prompt(self._to_send(exchange))
        verdict = self._ask(prompt, partial(read_claims, quoted=prompt.quoted))
        if isinstance(verdict, Unjudged):
            return verdict
        listed, answer, _ = verdict
        return Claims(
            number=len(listed),
            unsupported=tuple(claim for claim, supported in listed if not supported),
            judge=f"{answer.model or self.settings.model}@{short(CLAIMS_DIGEST)}",
        )

    def claims_of_all(
        self, exchanges: Sequence[Exchange], progress: Progress | None = None
    ) -> list[Claims | Unjudged]:
        """`claims` of many answers, `judge.concurrency` at a time; in their order.

        Raises:
            EvaluationError: the judge does not answer.
        """
        return self._each(self.claims, exchanges, progress)

    def _each(
        self,
        judge: Callable[[Exchange], T],
        exchanges: Sequence[Exchange],
        progress: Progress | None,
    ) -> list[T]:
        progress = progress or Silent()
        verdicts = []
        with ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="judge") as pool:
            try:
                for verdict in pool.map(judge, exchanges):
                    verdicts.append(verdict)
                    progress.update(len(verdicts), len(exchanges), "judged")
            except EvaluationError:
                pool.shutdown(cancel_futures=True)
                raise
        return verdicts

    def prefer(self, exchange: Exchange, second: str) -> tuple[str, str] | Unjudged:
        """(`first`, `second` or `tie`; the reason), with the answers in this order only.

        Raises:
            EvaluationError: the judge does not answer.
        """
        exchange = self._to_send(exchange)
        if self.settings.redact:
            second = self._to_send(replace(exchange, answer=second)).answer
        prompt = pair_prompt(self.settings.rubric, exchange, second)
        values = ("first", "second", "tie")
        read = partial(read_verdict, key="better", values=values, quoted=prompt.quoted)
        verdict = self._ask(prompt, read)
        return verdict if isinstance(verdict, Unjudged) else verdict[0]

    def _to_send(self, exchange: Exchange) -> Exchange:
        return exchange.without_personal_data() if self.settings.redact else exchange

    def _ask(self, prompt: Prompt, read: Callable[[str], T]) -> tuple[T, Answer, int] | Unjudged:
        """(what `read` reads, the answer that holds it, tokens of all attempts)."""
        identity = self._identity(prompt)
        known = self._known.find(identity) if self._known is not None else None
        if known is not None:
            with self._lock:
                self.usage.reused += 1
            return read(known.text), known, 0
        question, code, tokens = prompt, "not_asked", 0
        for _ in range(self.settings.retries + 1):
            answer = self._answer(question)
            tokens += answer.prompt_tokens + answer.completion_tokens
            if answer.error is not None:
                detail = self._without_key(answer.error)
                return Unjudged(code=detail.split(":")[0], detail=detail)
            try:
                verdict = read(answer.text)
            except NoVerdictError as e:
                code = "cut_off" if answer.finish_reason == "length" else str(e)
                with self._lock:
                    self.usage.bad_answers[code] += 1
                question = prompt.again(answer.text)
                continue
            if self._known is not None:
                self._known.keep(identity, answer)
            return verdict, answer, tokens
        return Unjudged(code=code, detail=answer.text[:_SHOWN_CHARACTERS])

    def _answer(self, prompt: Prompt) -> Answer:
        answer = self._target(prompt if self._structured else None).complete(prompt.messages)
        if self._structured and (answer.error or "").startswith(_OF_THE_TEXT):
            # Not every server takes a schema; that it refuses is known only by asking without.
            answer = self._target(None).complete(prompt.messages)
            self._structured = answer.error is not None
        self._count(answer)
        return answer

    def _target(self, structured: Prompt | None) -> OpenAITarget:
        form = None
        if structured is not None:
            schema = {"name": "verdict", "strict": True, "schema": dict(structured.schema)}
            form = {"type": "json_schema", "json_schema": schema}
        return OpenAITarget(
            base_url=self.settings.base_url,
            model=self.settings.model,
            identity=self.settings.model,
            sampling=Sampling(max_tokens=self.settings.max_tokens, response_format=form),
            api_key=self._api_key,
            timeout_seconds=self.settings.timeout_seconds,
        )

    def _count(self, answer: Answer) -> None:
        with self._lock:
            self.usage.requests += 1
            self.usage.prompt_tokens += answer.prompt_tokens
            self.usage.completion_tokens += answer.completion_tokens
            if answer.error is None:
                self._failures = 0
            elif not answer.error.startswith(_OF_THE_TEXT):
                self._failures += 1
            silent = self._failures >= _SILENT_REQUESTS
        if silent:
            raise EvaluationError(
                f"The judge {self.settings.model} at {self.settings.base_url} does not answer; "
                f"its last error: {self._without_key(str(answer.error))}.",
                remedy="Check `judge` in the model file and the server, then run it again.",
            )

    def _without_key(self, text: str) -> str:
        """A server's message may repeat the key that it refuses."""
        return text.replace(self._api_key, "[key]") if self._api_key else text

    def _identity(self, prompt: Prompt) -> str:
        return digest_json(
            [
                self.settings.base_url,
                self.settings.model,
                self.settings.max_tokens,
                [dict(message) for message in prompt.messages],
            ]
        )


def refuse_unjudged(verdicts: Sequence[object]) -> None:
    """Stop where the judge left out too much.

    Raises:
        EvaluationError: it gave no verdict on more than a tenth of the answers.
    """
    unjudged = [verdict for verdict in verdicts if isinstance(verdict, Unjudged)]
    if len(unjudged) > _UNJUDGED_SHARE * len(verdicts):
        raise EvaluationError(
            f"The judge gave no verdict on {len(unjudged)} of {len(verdicts)} answers; the "
            f"last time it was {unjudged[-1].code}: {unjudged[-1].detail!r}.",
            remedy="Take a judge that keeps to the form, or raise judge.max_tokens.",
        )


def rubric_digest(settings: JudgeSettings) -> str:
    """The identity of a rubric together with the wording and the bar that it is used with."""
    terms: Mapping[str, Any] = {
        "rubric": settings.rubric,
        "passes_from": settings.passes_from,
        "redact": settings.redact,
        "wording": VERSION,
    }
    return digest_json(terms)
