"""Clean examples → training and evaluation rows: contradictions, duplicates, split, leaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tuneloop.datasets.contradictions import find_contradictions
from tuneloop.datasets.conversations import conversation_keys
from tuneloop.datasets.duplicates import find_duplicates
from tuneloop.datasets.example import Example
from tuneloop.datasets.holdout import Need, choose_share
from tuneloop.datasets.labels import class_field, labels_of
from tuneloop.datasets.leaks import find_leaks, find_quotes
from tuneloop.datasets.left_out import LeftOut, leave_out
from tuneloop.datasets.likeness import Likeness, Search, compare
from tuneloop.datasets.split import Candidate, Side, Split
from tuneloop.progress import Progress, Silent
from tuneloop.task import origin

LEAK = "leak"
"""Reason code of a training row that gives a held-out case away."""
OUTDATED = "outdated"
"""Reason code of a row whose answer a person has since replaced."""


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """What earlier versions decided, and a new one keeps."""

    sides: Mapping[str, Side] = field(default_factory=dict)
    """Input key → side, of every row that ever had one."""
    examples: Sequence[Example] = ()
    """Rows of the last version, rewritten as rows are now."""

    share: float | None = None
    """What the last version held out; None for the first, and where it did not say."""

    def group_of(self) -> dict[str, str]:
        """Input key → name of its group in the last version."""
        return {example.input_key: example.group for example in self.examples}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The settings of the selection."""

    similarity: float
    holdout_share: float | Literal["auto"]
    allow_contradictions: bool
    needs: Sequence[Need] = ()
    """What the gates ask of the held-out cases; decides where the share is `auto`."""
    label_field: str | None = None
    """The field of the answers that the task names as their class."""


@dataclass(kw_only=True)
class Selection:
    """What was chosen, and everything that was not."""

    train: list[Example] = field(default_factory=list)
    eval: list[Example] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    contradictions: list[tuple[Example, ...]] = field(default_factory=list)
    """Rows that answer one question differently, left out or (when allowed) kept."""
    varied: int = 0
    """Questions answered in several wordings of free text: no contradiction."""
    holdout_share: float = 0.0
    """The share of the groups that is held out: declared, or chosen for the gates."""
    held_out_beyond: int = 0
    """Where the share is smaller than before: rows that it would not hold out if they were new."""
    class_field: str | None = None
    """The field of the answers whose values are the classes that the split looks at."""
    conversations: dict[str, str] = field(default_factory=dict)
    """Id of a row → key of its conversation, of the rows that are a part of one."""
    template_rows: int = 0
    """Rows in families that share a template, where only equal inputs count as alike."""


def select(
    examples: Iterable[Example],
    *,
    rules: Rules,
    earlier: Earlier,
    cases: Sequence[Example],
    progress: Progress = Silent(),
) -> Selection:
    """Sort out `examples`; none of them may be alike to `cases`, which belong to eval suites.

    What was chosen is looked at once more by itself, as if the split were somebody else's: a
    training row that gives a held-out or a test case away is left out.
    """
    selecting = _Selecting(examples, rules, earlier, cases, progress)
    selection = selecting.run()
    _leave_out_leaks(selection, cases, selecting.search)
    return selection


def _leave_out_leaks(selection: Selection, cases: Sequence[Example], search: Search) -> None:
    held_out = [*selection.eval, *cases]
    captured = [example for example in selection.train if is_approved(example)]
    every_leak = [
        *find_leaks(selection.train, held_out, similarity=search.similarity, known=search),
        *find_quotes(captured, held_out),
    ]
    leaks = {leak.training.id: leak for leak in reversed(every_leak)}.values()
    leaking = {leak.training.id for leak in leaks}
    selection.train = [example for example in selection.train if example.id not in leaking]
    for leak in leaks:
        related = (leak.held_out.id,)
        selection.left_out.append(leave_out(leak.training, LEAK, leak.detail, related=related))


def is_approved(example: Example) -> bool:
    """Whether the row comes from the review queue."""
    return origin.is_approved(example.tags)


class _Selecting:
    """One pass: every row of `examples` either stays active or is left out with its reason.

    Rows are numbered: examples first, then earlier rows, then cases.
    """

    def __init__(
        self,
        examples: Iterable[Example],
        rules: Rules,
        earlier: Earlier,
        cases: Sequence[Example],
        progress: Progress,
    ) -> None:
        self._examples, self._rules, self._earlier = list(examples), rules, earlier
        self._rows: list[Example] = [*self._examples, *earlier.examples, *cases]
        self._first_case = len(self._examples) + len(earlier.examples)
        self._likeness: Likeness = compare(
            [row.input_text for row in self._rows],
            similarity=rules.similarity,
            reference=len(self._examples),
            progress=progress,
        )
        self.search = self._likeness.search
        """The texts that are alike, for whoever looks at some of these rows again."""
        self._active = dict.fromkeys(range(len(self._examples)))
        self._drawn = self._find_drawn()
        self._result = Selection()

    def run(self) -> Selection:
        """Contradictions first: removing duplicates would hide who contradicts whom."""
        self._result.template_rows = sum(
            row < len(self._examples)
            for family in self._likeness.templates
            for text in family
            for row in self._likeness.rows_of(text)
        )
        self._leave_out_contradictions()
        self._leave_out_duplicates()
        self._leave_out_suite_cases()
        self._split()
        for rows in (self._result.train, self._result.eval):
            rows.sort(key=lambda example: example.id)
        return self._result

    def _find_drawn(self) -> frozenset[int]:
        """Samples of live traffic that are cases: all but those that ask what is trained on.

        Of these the question decides, not the answer, so that what is left is as random as the
        draw. Nobody could be judged by them, and a right answer in the place of a wrong one that is
        trained on is a correction like any other.
        """
        samples = [row for row, of in enumerate(self._examples) if origin.is_live_sample(of.tags)]
        if not samples:
            return frozenset()
        trained = {
            row
            for row in range(len(self._examples), self._first_case)
            if self._earlier.sides.get(self._rows[row].input_key) == "train"
            # Earlier releases trained on samples that had been wrong.
            and self._rows[row].tags.get("kind") != origin.SAMPLE
        }
        return frozenset(
            row
            for row in samples
            if trained.isdisjoint(other for other, _ in self._likeness.neighbours(row))
        )

    def _drop(self, row: int, reason: str, detail: str, *related: int) -> None:
        del self._active[row]
        ids = tuple(self._rows[other].id for other in related)
        self._result.left_out.append(leave_out(self._examples[row], reason, detail, related=ids))

    def _leave_out_contradictions(self) -> None:
        conflicting, varied = find_contradictions(self._examples, self._likeness)
        for wordings in varied:
            self._result.varied += self._differ(self._leave_out_outdated(wordings.rows))
        for contradiction in conflicting:
            rows = self._leave_out_outdated(contradiction.rows)
            if not self._differ(rows):
                continue
            self._result.contradictions.append(tuple(self._examples[row] for row in rows))
            if self._rules.allow_contradictions:
                continue
            for row in rows:
                others = [
                    other
                    for other in rows
                    if self._examples[other].gist != self._examples[row].gist
                ]
                self._drop(
                    row,
                    "contradiction",
                    f"answered differently in {self._examples[others[0]].place}: "
                    f"{self._examples[others[0]].completion[:100]}",
                    *others,
                )

    def _differ(self, rows: Sequence[int]) -> bool:
        return len({self._examples[row].gist for row in rows}) > 1

    def _leave_out_outdated(self, rows: Sequence[int]) -> list[int]:
        """Rows of one question that remain once approved answers have replaced older ones."""
        deciding = self._deciding(rows)
        answers = {self._examples[row].gist for row in deciding}
        for row in rows:
            if deciding and self._examples[row].gist not in answers:
                approved = self._examples[deciding[-1]]
                self._drop(
                    row,
                    OUTDATED,
                    f"a person approved another answer (review item "
                    f"{approved.tags.get('review', approved.place)}): {approved.completion[:100]}",
                    deciding[-1],
                )
        return [row for row in rows if row in self._active]

    def _deciding(self, rows: Sequence[int]) -> list[int]:
        """The rows that overrule the others: the last choice between contradictory answers, else
        all corrections; where two of these contradict each other, a person must choose again."""
        approved = [row for row in rows if is_approved(self._examples[row])]
        chosen = [row for row in approved if self._examples[row].tags.get("kind") == origin.CHOICE]
        return chosen[-1:] or approved

    def _leave_out_duplicates(self) -> None:
        """Rows that earlier versions hold stay rather than new ones: versions differ less.

        A live sample stays rather than a new row or a correction: whether it is a case must not
        depend on what else came of its question.
        """
        known = {example.id for example in self._earlier.examples}

        def rank(row: int) -> tuple[int, bool, int]:
            example = self._examples[row]
            new = example.id not in known
            if row in self._drawn:
                return 1, new, row
            return (2 if new or is_approved(example) else 0), new, row

        order = sorted(self._active, key=rank)
        for duplicate in find_duplicates(self._examples, self._likeness, order):
            kept = self._examples[duplicate.kept].place
            detail = f"the same as {kept}"
            if duplicate.kind == "near":
                detail = f"{duplicate.similarity:.0%} alike to {kept}, with the same answer"
            self._drop(duplicate.row, f"{duplicate.kind}_duplicate", detail, duplicate.kept)

    def _leave_out_suite_cases(self) -> None:
        for row in list(self._active):
            case = next(
                (other for other, _ in self._likeness.neighbours(row) if other >= self._first_case),
                None,
            )
            if case is not None:
                self._drop(
                    row, "suite_case", f"alike to the test case in {self._rows[case].place}", case
                )

    def _split(self) -> None:
        present = {self._examples[row].input_key for row in self._active}
        gone = [
            row
            for row in range(len(self._examples), self._first_case)
            if self._rows[row].input_key not in present
        ]
        rows = [*self._active, *gone]
        number = {row: index for index, row in enumerate(rows)}

        def neighbours(index: int) -> Iterator[int]:
            for other, _ in self._likeness.neighbours(rows[index]):
                if other in number:
                    yield number[other]

        groups = self._earlier.group_of()
        labels = self._labels()
        talks = self._conversations(rows)
        candidates = [self._candidate(row, groups, labels, talks) for row in rows]
        split = Split(candidates, neighbours)
        active = [self._examples[row] for row in self._active]

        def held_out_at(share: float) -> set[int]:
            return {row for row in split.held_out_if_new(share) if row < len(active)}

        share = self._rules.holdout_share
        if isinstance(share, str):
            share = choose_share(active, held_out_at, self._rules.needs)
        self._result.holdout_share = share
        places = split.places(share, earlier_share=self._earlier.share)
        if self._earlier.share is not None and share < self._earlier.share:
            held_out = {row for row in range(len(active)) if places[row].side == "eval"}
            self._result.held_out_beyond = len(held_out - held_out_at(share))
        for row, placed in zip(list(self._active), places, strict=False):
            if placed.side is None:
                self._drop(
                    row,
                    "bridges_split",
                    "close to a held-out row and to a training row of the last version: "
                    "on either side it would leak",
                )
                continue
            chosen = self._result.train if placed.side == "train" else self._result.eval
            self._rows[row] = self._examples[row] = self._examples[row].with_group(placed.group)
            chosen.append(self._examples[row])
            if talks[row]:
                self._result.conversations[self._examples[row].id] = talks[row]

    def _labels(self) -> dict[int, str]:
        """Active row → its class; the split has all classes on both sides where it can.

        Rows that decide nothing have none: they must not take the place of a case that does.
        """
        completions = {row: self._examples[row].completion for row in self._active}
        field = class_field(list(completions.values()), self._rules.label_field)
        self._result.class_field = field
        if field is None:
            return {}
        return {
            row: labels_of(text, [field]).get(field, "")
            for row, text in completions.items()
            if origin.decides(self._examples[row].tags)
        }

    def _conversations(self, rows: Sequence[int]) -> dict[int, str]:
        """Row → key of its conversation. What begins many conversations is told by what the leak
        check looks at too: active rows and cases."""
        others = [*range(self._first_case, len(self._rows))]
        seen = [*self._active, *others, *(row for row in rows if row not in self._active)]
        keys = conversation_keys(
            [self._rows[row] for row in seen], reference=len(self._active) + len(others)
        )
        return dict(zip(seen, keys, strict=True))

    def _candidate(
        self,
        row: int,
        groups: Mapping[str, str],
        labels: Mapping[int, str],
        talks: Mapping[int, str],
    ) -> Candidate:
        example, drawn = self._rows[row], row in self._drawn
        side = self._earlier.sides.get(example.input_key)
        return Candidate(
            key=example.input_key,
            cluster=example.group,
            conversation=talks[row],
            label=labels.get(row, ""),
            side="eval" if drawn else side,
            # A row that comes back finds the name that its group would have been given anew.
            group=""
            if drawn and side is None
            else groups.get(example.input_key, example.group or example.input_key),
            present=row in self._active,
            drawn=drawn,
        )
