"""Dataset versions: made, kept, listed, compared. A version never changes."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast

import sqlalchemy as sa

from tuneloop.conversation.template import ChatTemplate
from tuneloop.datasets.example import Example
from tuneloop.datasets.filters import make_filters
from tuneloop.datasets.holdout import Need
from tuneloop.datasets.importing import Cleaning, import_sources, read_cases, with_rows
from tuneloop.datasets.preferences import find_preferences
from tuneloop.datasets.recipe import recipe
from tuneloop.datasets.report import make_report
from tuneloop.datasets.retired_terms import RetiredTerms
from tuneloop.datasets.selection import Earlier, Rules, Selection, select
from tuneloop.datasets.sources import CACHE, Source, find_sources
from tuneloop.datasets.split import Side
from tuneloop.datasets.storing import SIDES, store
from tuneloop.datasets.validation import check_split, validate
from tuneloop.errors import DataError
from tuneloop.hashing import short
from tuneloop.modelfile import ModelFile
from tuneloop.progress import Progress, Silent
from tuneloop.registry import tombstones
from tuneloop.registry.tombstones import Tombstones
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.storage.references import LATEST, one_named
from tuneloop.task import origin
from tuneloop.task.label import label_field
from tuneloop.workspace import Workspace

_MIN_PREFIX = 4
_OBJECTS_BETWEEN_COLLECTIONS = 100_000


@dataclass(frozen=True, kw_only=True)
class DatasetVersion:
    """An immutable set of examples with its split."""

    digest: str
    """Of the artifact: train.jsonl, eval.jsonl, preferences.jsonl, preferences_eval.jsonl,
    quarantine.jsonl, assigned.json, report.json."""
    model: str
    label: str
    """Date and short digest."""
    previous: str | None
    """Digest of the version whose split it kept."""
    rows_train: int
    rows_eval: int
    report: Mapping[str, Any]
    """What `report.make_report` counted, with recipe, sources and reviewers."""
    validation: Mapping[str, Any] | None
    """What changed since the version before (a row of `validation.Validation`); None: no such."""
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What a version may be made of and by besides the model file."""

    corrections: tuple[Path, ...] = ()
    """Files of rows that a person approved; their answers win over older ones."""
    reviewers: tuple[str, ...] = ()
    """Who judged them."""
    review_items: tuple[str, ...] = ()
    """Ids of the review items that they are from."""


@contextmanager
def _few_collections() -> Iterator[None]:
    """Rows hold no circles, and looking for some among millions of them takes a tenth of the time
    of a version."""
    usual = gc.get_threshold()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 50, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@_few_collections()
def prepare(
    workspace: Workspace,
    model_file: ModelFile,
    *,
    extras: Extras = Extras(),
    previous: DatasetVersion | Literal["latest"] | None = "latest",
    needs: Sequence[Need] = (),
    template: ChatTemplate | None = None,
    progress: Progress = Silent(),
) -> DatasetVersion:
    """Make a dataset version from the sources of the model file, or find the one that is equal.

    `needs` is what the gates ask of the held-out cases. `template` is the base's, where it is at
    hand: rows that it cannot write are left out. `previous` is the version whose split is
    kept. Source files are read in the order of their names; the order of rows decides only which of
    two duplicates stays, and the line numbers.

    Raises:
        DataError: a file or every row is unusable; says why and where.
        ModelFileError: a setting makes no sense.
        StoreError: the version cannot be stored.
    """
    settings = model_file.settings
    before = _before(workspace, settings.name, previous)
    cleaning = cleaning_of(model_file, tombstones.load(workspace), template)
    progress.step("Reading rows")
    imported = with_rows(
        import_sources(
            find_sources(
                model_file.folder,
                settings.data.sources,
                cache=workspace.folder(CACHE),
                progress=progress,
            ),
            cleaning,
            corrections=[
                Source(path=path, name=f"corrections/{path.name}") for path in extras.corrections
            ],
            progress=progress,
        )
    )
    cases = _suite_cases(model_file, cleaning)
    progress.step("Looking for contradictions and duplicates, and splitting")
    earlier = earlier_of(workspace, before, cleaning)
    selection = select(
        imported.taken(),
        rules=Rules(
            similarity=settings.data.near_duplicate_similarity,
            holdout_share=settings.data.holdout_share,
            allow_contradictions=settings.data.allow_contradictions,
            needs=needs,
            label_field=label_field(settings.task),
        ),
        earlier=earlier,
        cases=cases,
        progress=progress,
    )
    # What the last version held is known by now, and may be as many rows again.
    earlier = replace(earlier, examples=())
    if not selection.train:
        raise _nothing_to_train_on(selection)
    system_hits = cleaning.terms.renamed(settings.task.system)[1]
    preferences = find_preferences(
        selection,
        [*imported.left_out, *selection.left_out],
        cases=cases,
        similarity=settings.data.near_duplicate_similarity,
    )
    report = make_report(
        model=settings.name,
        imported=imported,
        selection=selection,
        preferences=preferences,
        recipe=recipe(settings.data, settings.task, template),
        reviewers=extras.reviewers,
        review_items=extras.review_items,
        system_hits=system_hits,
        cases=len(cases),
    )
    progress.step("Storing the version")
    digest = store(workspace, imported, selection, preferences, earlier, report)
    declared = isinstance(settings.data.holdout_share, float)
    return _record(
        workspace, digest, report, before, _validated(workspace, before, selection, declared)
    )


def list_versions(workspace: Workspace, model: str) -> list[DatasetVersion]:
    """A model's versions, the newest first."""
    table = tables.dataset_versions
    with workspace.records.begin() as tx:
        rows = tx.execute(
            sa.select(table)
            .where(table.c.model == model)
            .order_by(table.c.created_at.desc(), table.c.digest)
        ).all()
    return [_version(row) for row in rows]


def load(workspace: Workspace, model: str, reference: str = LATEST) -> DatasetVersion:
    """The version that a digest, its beginning, a label or `latest` names.

    Raises:
        UsageError: none or several are named so.
    """
    versions = list_versions(workspace, model)
    known = ", ".join(version.label for version in versions[:5])
    return one_named(
        versions,
        reference,
        lambda version: (version.digest, version.label),
        what=f"dataset versions of {model}",
        remedy=f"The newest are: {known}." if known else "Make one with: tuneloop prepare",
        least=_MIN_PREFIX,
    )


def read_examples(workspace: Workspace, version: DatasetVersion, side: Side) -> list[Example]:
    """The rows of one side, ordered by id.

    Raises:
        CorruptArtifactError: the stored bytes have changed.
    """
    return list(map(Example.from_row, read_rows(workspace, version, side)))


def read_rows(
    workspace: Workspace, version: DatasetVersion, side: Side
) -> Iterable[dict[str, Any]]:
    """The rows of one side as they are stored, one after the other.

    Raises:
        CorruptArtifactError: the stored bytes have changed.
    """
    return _read_rows(workspace.artifacts.get(version.digest) / f"{side}.jsonl")


def read_pairs(workspace: Workspace, version: DatasetVersion, side: Side) -> list[dict[str, Any]]:
    """The preference pairs of one side, as `preferences.as_row` writes them.

    Raises:
        CorruptArtifactError: the stored bytes have changed.
    """
    name = "preferences.jsonl" if side == "train" else "preferences_eval.jsonl"
    path = workspace.artifacts.get(version.digest) / name
    # Versions of earlier releases have none.
    return list(_read_rows(path)) if path.is_file() else []


def read_trained(workspace: Workspace, model_file: ModelFile, digest: str) -> list[Example]:
    """What the version with this digest trains on, as it stands and as it would be written now.

    Raises:
        StoreError: the version is not in the store.
    """
    cleaning = cleaning_of(model_file, tombstones.load(workspace))
    stored = [
        Example.from_row(row) for row in _read_rows(workspace.artifacts.get(digest) / "train.jsonl")
    ]
    rewritten = map(cleaning.rewritten, stored)
    return [*stored, *(now for was, now in zip(stored, rewritten, strict=True) if now != was)]


def read_left_out(workspace: Workspace, version: DatasetVersion) -> list[dict[str, Any]]:
    """The rows that were left out: source, line, reason, detail, excerpt, related, row."""
    return list(_read_rows(workspace.artifacts.get(version.digest) / "quarantine.jsonl"))


def _before(
    workspace: Workspace, model: str, previous: DatasetVersion | Literal["latest"] | None
) -> DatasetVersion | None:
    if isinstance(previous, str):
        return next(iter(list_versions(workspace, model)), None)
    return previous


def cleaning_of(
    model_file: ModelFile, erased: Tombstones, template: ChatTemplate | None = None
) -> Cleaning:
    """What is done to every row of this model on its way in; `template` is the base's.

    Raises:
        ModelFileError: a setting makes no sense.
    """
    data, task = model_file.settings.data, model_file.settings.task
    return Cleaning(
        system=task.system,
        filters=make_filters(
            min_characters=data.min_characters,
            max_characters=data.max_characters,
            language=data.language,
            output_schema=task.output_schema,
            output_pattern=task.output_pattern,
            disabled=data.disabled_filters,
            thinking=task.thinking,
            template=template,
            grounded=data.grounded,
        ),
        terms=RetiredTerms(data.retired_terms),
        personal_data=data.redact_personal_data,
        group_field=data.group_field,
        max_row_bytes=data.max_row_bytes,
        erased=erased,
        columns=data.columns,
        tag_columns=data.tag_columns,
        turns=data.turns,
        least_rating=data.least_rating,
        thoughts=task.thinking or not data.drop_thoughts,
        thinking=task.thinking,
    )


def _suite_cases(model_file: ModelFile, cleaning: Cleaning) -> list[Example]:
    """The cases of every eval suite: none of them may be trained on."""
    suites = model_file.settings.evaluation.suites
    return [
        case
        for source in find_sources(
            model_file.folder, [suite.file for suite in suites if suite.file]
        )
        for case in read_cases(source, cleaning)
    ]


def earlier_of(
    workspace: Workspace, previous: DatasetVersion | None, cleaning: Cleaning
) -> Earlier:
    """What a version decided, for the next one to keep; nothing without one."""
    if previous is None:
        return Earlier()
    path = workspace.artifacts.get(previous.digest) / "assigned.json"
    sides: dict[str, Side] = {
        key: side
        for side, keys in cast("dict[Side, list[str]]", json.loads(path.read_text("utf-8"))).items()
        for key in keys
        if not cleaning.erased.covers(key)
    }
    examples: list[Example] = []
    # Training first: an input that a rename makes equal to a held-out one counts as held out.
    for side in SIDES:
        for stored in read_examples(workspace, previous, side):
            if cleaning.was_erased(stored):
                continue
            example = cleaning.rewritten(stored)
            sides[example.input_key] = side
            examples.append(example)
    return Earlier(sides=sides, examples=examples, share=share_of(previous))


def share_of(version: DatasetVersion) -> float | None:
    """The share that a version held out; None for versions of earlier releases."""
    share: float | None = version.report["split"].get("holdout_share")
    return share


def _validated(
    workspace: Workspace,
    before: DatasetVersion | None,
    selection: Selection,
    declared: bool,
) -> dict[str, Any] | None:
    """What changed; `declared`: the held-out share was."""
    if before is None:
        return None
    last = {side: read_examples(workspace, before, side) for side in SIDES}
    now: _Rows = {"train": selection.train, "eval": selection.eval}
    validation = validate(_all(last), _all(now), against=before.label)
    split = check_split(
        _sides(last),
        _sides(now),
        shares=(share_of(before), selection.holdout_share),
        declared=declared,
        kept=selection.held_out_beyond,
        drawn={row.input_key for row in selection.eval if origin.is_live_sample(row.tags)},
    )
    return replace(validation, checks=(split, *validation.checks)).as_row()


_Rows = Mapping[Side, Sequence[Example]]


def _all(rows: _Rows) -> list[Example]:
    return [example for side in SIDES for example in rows[side]]


def _sides(rows: _Rows) -> dict[str, Side]:
    return {example.input_key: side for side in SIDES for example in rows[side]}


def _nothing_to_train_on(selection: Selection) -> DataError:
    reasons = Counter(row.reason for row in selection.left_out)
    listed = ", ".join(f"{count} × {reason}" for reason, count in reasons.most_common())
    return DataError(
        f"No row is left to train on: {listed or 'all rows are held out'}.",
        remedy="Add rows that are neither test cases nor contradictions.",
    )


def _record(
    workspace: Workspace,
    digest: str,
    report: Mapping[str, Any],
    previous: DatasetVersion | None,
    validation: Mapping[str, Any] | None,
) -> DatasetVersion:
    table = tables.dataset_versions
    now = workspace.now()
    with workspace.records.begin() as tx:
        row = tx.execute(sa.select(table).where(table.c.digest == digest)).one_or_none()
        if row is None:
            tx.execute(
                table.insert().values(
                    digest=digest,
                    model=report["model"],
                    label=f"{now:%Y-%m-%d}-{short(digest)}",
                    previous=None if previous is None else previous.digest,
                    rows_train=report["rows_train"],
                    rows_eval=report["rows_eval"],
                    manifest=dict(report),
                    validation=validation,
                    created_at=now,
                )
            )
            row = tx.execute(sa.select(table).where(table.c.digest == digest)).one()
    return _version(row)


def _version(row: sa.Row[Any]) -> DatasetVersion:
    return record_of(DatasetVersion, row, report=row.manifest)


def _read_rows(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield json.loads(line)
