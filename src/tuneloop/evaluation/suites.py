"""Eval suites: fixed cases that every candidate answers, named by the hash of their content."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from tuneloop.conversation import Message
from tuneloop.conversation.control_tokens import neutral, neutral_value
from tuneloop.errors import DataError, EvaluationError
from tuneloop.hashing import digest_json, digest_text
from tuneloop.modelfile import HELD_OUT, ColumnSettings, TaskSettings
from tuneloop.nearest import nearest_path
from tuneloop.prose.phrases import says
from tuneloop.readers import BadRow, file_of, read_rows
from tuneloop.storage.messages import last_user_text
from tuneloop.task import origin
from tuneloop.task.kind import is_prose, kind_of
from tuneloop.task.label import is_abstention, label_field, label_of
from tuneloop.task.rows import CaseDraft, FormError, recognise_case

Kind = Literal["held-out", "regressions", "golden", "edge-case", "safety", "general"]
Messages = tuple[Mapping[str, Any], ...]
Tools = tuple[Mapping[str, Any], ...]
REGRESSIONS = "regressions"
"""Name and kind of the one of its held-out rows that were found because something had failed."""
SAFETY, GENERAL = "safety", "general"
WATCHED = (SAFETY, GENERAL)
"""Kinds that tell what the tuning cost beside the task: the untuned base is asked them, too."""
_NO_TASK = TaskSettings()
"""What questions of general knowledge are read and asked with: no system text, no form."""

_PROVENANCE = ("origin", "kind", "review", "reviewer", "edit", origin.WEIGHT)
"""Tags that an approved correction gets: where the row came from, not what it asks."""
PHRASES = ("must_contain", "must_not_contain")
"""Columns of a suite of prose."""
MAX_ROW_BYTES = 64_000_000
"""A case is written by hand: more than this is no row, but a file that is damaged."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One prompt and what a right answer to it looks like."""

    id: str
    """unique in its suite; equal in every run of the same suite"""
    messages: Messages
    """the prompt, ending with a user turn"""
    expected: str | None = None
    """the reference answer; None where only form or behaviour is checked"""
    out_of_scope: bool = False
    """the right answer is to abstain"""
    slices: Mapping[str, str] = field(default_factory=dict)
    """slice name → value, e.g. `intent: freeze_account`"""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """tags that tuneloop itself added to an approved correction; part of the identity, no slices"""
    tools: Tools = ()
    """definitions of the tools that the model may call, as a chat request has them"""
    group: str = ""
    """cases of one group, such as turns of one conversation, are not independent of each other;
    no part of the identity: it says nothing that a model reads; "": it stands alone"""
    must_contain: tuple[str, ...] = ()
    """phrases that a right answer of prose says, see `prose.phrases`"""
    must_not_contain: tuple[str, ...] = ()
    """phrases that it does not say"""

    @property
    def prompt(self) -> Messages | Mapping[str, Any]:
        """The messages, or the fields of a chat request that has tools beside them."""
        return {"messages": self.messages, "tools": self.tools} if self.tools else self.messages

    @property
    def question(self) -> str:
        """The last user message: what people read."""
        return last_user_text(self.messages)

    @property
    def decides(self) -> bool:
        """Whether nobody chose it for what a model had answered, see `task.origin`."""
        return origin.decides(self.provenance)

    @property
    def is_live_sample(self) -> bool:
        """Whether it was drawn at random from live traffic."""
        return origin.is_live_sample(self.provenance)

    @property
    def weight(self) -> float:
        """Answers of live traffic that a sample stands for; 1 of any other case."""
        return (origin.weight_of(self.provenance) or 1.0) if self.is_live_sample else 1.0


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Versioned cases; `digest` is the identity of their content."""

    name: str
    kind: Kind
    cases: tuple[Case, ...]
    digest: str

    def without(self, known: Collection[str]) -> Suite:
        """The suite without the cases with these ids, for somebody who was trained on them.

        Raises:
            EvaluationError: none is left.
        """
        if not known:
            return self
        left = [case for case in self.cases if case.id not in known]
        if not left:
            raise EvaluationError(
                f"The bundle was trained on every case of suite {self.name!r}.",
                remedy="Evaluate it on cases that it has not seen: add some, or drop the suite.",
            )
        return make_suite(self.name, self.kind, left)

    def drawn(self, count: int | None) -> Suite:
        """At most so many of its cases, in their order; None: all.

        They are those whose ids have the lowest digests: chosen by nothing that the cases say, and
        by and large the same ones where a later version of the suite has more.
        """
        if count is None or count >= len(self.cases):
            return self
        chosen = set(sorted((case.id for case in self.cases), key=digest_text)[:count])
        drawn = [case for case in self.cases if case.id in chosen]
        return make_suite(self.name, self.kind, drawn)


def make_suite(name: str, kind: str, cases: Iterable[Case]) -> Suite:
    """Build a suite and compute its identity.

    Raises:
        EvaluationError: for an unknown kind, no cases, or two cases with one id.
    """
    if kind not in get_args(Kind):
        raise EvaluationError(
            f"Suite {name!r} has the kind {kind!r}; expected one of {', '.join(get_args(Kind))}."
        )
    cases = tuple(cases)
    if not cases:
        raise EvaluationError(
            f"Suite {name!r} has no cases.",
            remedy=f"Add one (tuneloop suite add {name} …), or remove the suite.",
        )
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise EvaluationError(
                f"Suite {name!r} holds the case {case.id!r} twice: {case.question[:80]!r}.",
                remedy="Remove the repeated row; a case counts once.",
            )
        seen.add(case.id)
    return Suite(name=name, kind=kind, cases=cases, digest=_digest(name, kind, cases))  # type: ignore[arg-type]


def load_suite(
    path: Path,
    *,
    name: str,
    kind: str,
    task: TaskSettings,
    columns: ColumnSettings | None = None,
    control_tokens: Sequence[str] = (),
) -> Suite:
    """Read a suite from a file of any kind that a data source may be (see `readers`).

    A row has any form that a data source may have (see `task.rows`), and may lack the answer: then
    it has no reference. `id` and `tags` are optional, as are `must_contain` and `must_not_contain`
    of prose: phrases, a text or several; other columns say nothing about a case. The
    task's system text is put first where a row has none. A question of a suite of kind general is
    none of the task's: it has an answer, and no system text but its own. `control_tokens` are
    broken up in the words of a case, as the gateway does it.

    Raises:
        EvaluationError: naming file and line of the first row that cannot be used: a suite is
            curated, so a row that silently went missing would be worse than a stop.
    """
    cases = [
        _neutral(case_in(row, where, kind=kind, task=task, columns=columns), control_tokens)
        for row, where in _rows(path)
    ]
    return make_suite(name, kind, cases)


def case_in(
    row: Mapping[str, Any],
    where: str,
    *,
    kind: str,
    task: TaskSettings,
    columns: ColumnSettings | None,
) -> Case:
    """The case that a row of the file of a suite of this kind makes; `where` names it in errors.

    Raises:
        EvaluationError: it makes none.
    """
    if kind != GENERAL:
        return _case(row, where, task, columns)
    case = _case(row, where, _NO_TASK, columns)
    if not (case.expected or "").strip():
        raise EvaluationError(
            f"{where}: a question of general knowledge without its answer.",
            remedy="Write the one right answer as its completion, such as Paris.",
        )
    return case


def held_out_suites(
    folder: Path, *, task: TaskSettings, control_tokens: Sequence[str] = ()
) -> tuple[Suite, ...]:
    """The suites of a dataset version, whose `eval.jsonl` holds rows that know their group.

    The first decides. Cases that were found because something had failed are a suite of their own,
    which is there only where there are some.

    Raises:
        EvaluationError: no held-out row decides, or one cannot be used.
    """
    cases = [
        _neutral(replace(_case(row, where, task), group=_group(row)), control_tokens)
        for row, where in _rows(folder / "eval.jsonl")
    ]
    deciding = [case for case in cases if case.decides]
    regressions = [case for case in cases if not case.decides]
    if regressions and not deciding:
        raise EvaluationError(
            f"All {len(regressions)} held-out rows are there because something failed (approved "
            "corrections, choices between contradictory answers), and such cases decide nothing.",
            remedy="Add rows to data.sources, raise data.holdout_share, or review samples of live "
            "traffic (tuneloop review): rows that nobody chose for a failure decide.",
        )
    suites = [make_suite(HELD_OUT, HELD_OUT, deciding)]
    if regressions:
        suites.append(make_suite(REGRESSIONS, REGRESSIONS, regressions))
    return tuple(suites)


def _group(row: Mapping[str, Any]) -> str:
    """What the split kept together; a dataset version of an early release may not say it."""
    return str(row.get("group") or "")


def _neutral(case: Case, control_tokens: Sequence[str]) -> Case:
    """The case in whose prompt nothing but the template makes a turn."""
    if not control_tokens:
        return case
    return replace(
        case,
        messages=tuple(neutral_value(message, control_tokens) for message in case.messages),
        expected=None if case.expected is None else neutral(case.expected, control_tokens),
    )


def case_of(row: Mapping[str, Any], *, task: TaskSettings) -> Case:
    """The case that a row of a dataset version is, or would be if it were held out.

    Such a row is in the one form that a version has, which is not looked for: a large version has a
    million.
    """
    draft = CaseDraft(
        messages=tuple(map(Message.from_row, row["messages"])),
        expected=row["completion"],
        tools=tuple(row.get("tools", ())),
    )
    return _case_of_draft(draft, row, f"row {row['id']}", task)


def as_served(suite: Suite, *, task_system: str, system: str) -> Suite:
    """The cases as a bundle with the system text `system` receives them from the same clients.

    `task_system` is what stands before the cases whose clients send no system text of their own;
    where one does, it goes to every bundle as it is. General questions stand without either.
    """
    if system == task_system or suite.kind == GENERAL:
        return suite

    def received(messages: Messages) -> Messages:
        first = messages[0]
        if first["role"] == "system" and first["content"] != task_system:
            return messages
        sent = messages[1:] if first["role"] == "system" else messages
        return ({"role": "system", "content": system}, *sent) if system else sent

    cases = [replace(case, messages=received(case.messages)) for case in suite.cases]
    return make_suite(suite.name, suite.kind, cases)


def _digest(name: str, kind: str, cases: tuple[Case, ...]) -> str:
    return digest_json(
        {
            "name": name,
            "kind": kind,
            "cases": [
                {
                    "id": case.id,
                    "messages": [dict(message) for message in case.messages],
                    "expected": case.expected,
                    "out_of_scope": case.out_of_scope,
                    "slices": {**case.provenance, **case.slices},
                    **({"tools": [dict(tool) for tool in case.tools]} if case.tools else {}),
                    **_phrases_row(case),
                }
                for case in cases
            ],
        }
    )


def _rows(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Rows with the place where each stands, e.g. `golden.jsonl, line 3`."""
    if not file_of(path).exists():
        near = nearest_path(path)
        raise EvaluationError(
            f"The suite file {path} does not exist.",
            remedy=f"Did you mean {near}?" if near else "Check `evaluation.suites`.",
        )
    try:
        for row in read_rows(path, max_row_bytes=MAX_ROW_BYTES):
            where = f"{path.name}, line {row.line}"
            if isinstance(row, BadRow):
                raise EvaluationError(f"{where}: {row.detail}.")
            yield row.value, where
    except DataError as e:
        raise EvaluationError(f"The suite cannot be read: {e.message}", remedy=e.remedy) from e


def _case(
    row: Mapping[str, Any], where: str, task: TaskSettings, columns: ColumnSettings | None = None
) -> Case:
    try:
        draft = recognise_case(row, columns)
    except FormError as e:
        raise EvaluationError(f"{where}: {e.detail}.") from None
    if draft.marked_bad:
        raise EvaluationError(
            f"{where}: {draft.marked_bad}, so it is no reference.",
            remedy="Write the right answer there, or leave it out: then the case has no reference.",
        )
    return _case_of_draft(draft, row, where, task)


def _case_of_draft(
    draft: CaseDraft, row: Mapping[str, Any], where: str, task: TaskSettings
) -> Case:
    messages: Messages = tuple(message.as_row() for message in draft.messages)
    if task.system and messages[0]["role"] != "system":
        messages = ({"role": "system", "content": task.system}, *messages)
    expected = draft.expected
    said, not_said = (_phrases(row, name, where, task) for name in PHRASES)
    if expected is not None:
        _check_phrases(expected, said, not_said, where)
    tags = row.get("tags") or {}
    if not isinstance(tags, dict):
        raise EvaluationError(f"{where}: expected `tags` to be an object of texts.")
    slices = {str(key): str(value) for key, value in tags.items()}
    provenance = {}
    if origin.is_approved(slices):
        provenance = {name: slices.pop(name) for name in _PROVENANCE if name in slices}
    out_of_scope = slices.get("out_of_scope") == "yes" or (
        expected is not None and is_abstention(expected, task)
    )
    if task.abstain is not None:
        slices["out_of_scope"] = "yes" if out_of_scope else "no"
    field = label_field(task)
    label = None if expected is None else label_of(expected, task)
    if field is not None and label is not None:
        slices[field] = label
    identity = row.get("id") or digest_json([list(map(dict, messages)), expected])[:16]
    return Case(
        id=str(identity),
        messages=messages,
        expected=expected,
        out_of_scope=out_of_scope,
        slices=slices,
        provenance=provenance,
        tools=draft.tools,
        must_contain=said,
        must_not_contain=not_said,
    )


def _phrases(row: Mapping[str, Any], name: str, where: str, task: TaskSettings) -> tuple[str, ...]:
    """What a row says that answers must say, or must not."""
    value = row.get(name)
    if value is None or value == "" or value == []:
        return ()
    if not is_prose(task):
        raise EvaluationError(
            f"{where}: `{name}` is for answers of prose, and this task's are {kind_of(task)}.",
            remedy="Declare task.kind: prose, or remove it: other answers are right where they are "
            "equal to the reference.",
        )
    phrases = [value] if isinstance(value, str) else value
    if not isinstance(phrases, list) or not all(
        isinstance(phrase, str) and phrase.strip() for phrase in phrases
    ):
        raise EvaluationError(f"{where}: expected `{name}` to be a phrase, or a list of phrases.")
    return tuple(phrases)


def _check_phrases(expected: str, said: Sequence[str], not_said: Sequence[str], where: str) -> None:
    """A reference that its own case would not pass is a mistake in one of them."""
    wrong = [
        *(
            f"does not say {phrase!r}, which it must"
            for phrase in said
            if not says(expected, phrase)
        ),
        *(f"says {phrase!r}, which it must not" for phrase in not_said if says(expected, phrase)),
    ]
    if wrong:
        raise EvaluationError(
            f"{where}: the reference answer {wrong[0]}.",
            remedy="Correct the phrase or the reference: one of them is wrong.",
        )


def _phrases_row(case: Case) -> dict[str, list[str]]:
    """The phrases of a case in JSON form, if it has any."""
    of = {name: list(getattr(case, name)) for name in PHRASES}
    return {name: phrases for name, phrases in of.items() if phrases}
