"""The report of a dataset version, as a JSON value: what came in, what stayed, what is odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tuneloop.datasets.coverage import Coverage, coverage
from tuneloop.datasets.example import Example
from tuneloop.datasets.imported import FileCount, Imported
from tuneloop.datasets.labels import label_counts, labels_of
from tuneloop.datasets.left_out import LeftOut
from tuneloop.datasets.preferences import Preferences
from tuneloop.datasets.selection import LEAK, OUTDATED, Selection
from tuneloop.datasets.sufficiency import advise
from tuneloop.datasets.tags import count_tags
from tuneloop.hashing import digest_json
from tuneloop.task import origin

_SHOWN = 20


def make_report(
    *,
    model: str,
    imported: Imported,
    selection: Selection,
    preferences: Preferences,
    recipe: dict[str, Any],
    reviewers: Sequence[str],
    review_items: Sequence[str],
    system_hits: Counter[str],
    cases: int,
) -> dict[str, Any]:
    """Nothing in it depends on the time or on the version before: equal rows, equal report."""
    train, held_out = selection.train, selection.eval
    left_out = [*imported.left_out, *selection.left_out]
    kept = [*train, *held_out]
    if imported.answers != len(kept) + len(left_out):
        raise AssertionError("answers in do not equal answers kept plus answers left out")
    labels = label_counts(example.completion for example in kept)
    tags = count_tags(kept)
    deciding = [example for example in held_out if origin.decides(example.tags)]
    classes = coverage(train, deciding, selection.class_field, selection.holdout_share)
    return {
        "model": model,
        "rows_in": imported.rows,
        "answers_in": imported.answers,
        "rows_kept": len(kept),
        "rows_train": len(train),
        "rows_eval": len(held_out),
        "left_out": dict(sorted(Counter(row.reason for row in left_out).items())),
        "content_digest": content_digest(train, held_out),
        "recipe": recipe,
        "sources": [file.as_row() for file in imported.files],
        "reviewers": sorted(set(reviewers)),
        "review_items": sorted(set(review_items)),
        "preferences": preferences.as_row(),
        "outdated": _outdated(selection.left_out),
        "duplicates": _duplicates(selection.left_out),
        "contradictions": _contradictions(selection),
        "split": {
            "holdout_share": selection.holdout_share,
            "eval_share": round(len(held_out) / len(kept), 4) if kept else 0.0,
            "groups": len({example.group for example in kept}),
            "labels_without_eval": _labels_without_eval(held_out, labels),
            "classes": classes.as_row(),
            "conversations": _conversations(selection),
        },
        "leak_check": {
            "held_out": len(held_out),
            "suite_cases": cases,
            "leaks": sum(row.reason == LEAK for row in left_out),
        },
        "personal_data": {
            "mode": recipe["data"]["redact_personal_data"],
            "rows": imported.personal_rows,
            "found": dict(sorted(imported.personal_data.items())),
        },
        "retired_terms": {
            "rows": imported.retired_rows,
            "found": dict(sorted(imported.retired_terms.items())),
            "in_system_text": dict(sorted(system_hits.items())),
        },
        "labels": labels,
        "tags": {tag: dict(sorted(c.common.items())) for tag, c in tags.items() if c.common},
        "tag_counts": {tag: {"rows": c.rows, "values": c.values} for tag, c in tags.items()},
        "advice": [
            *(advice.as_row() for advice in advise(kept, labels, goal=recipe["data"]["goal"])),
            *_remarks(imported, selection, classes, system_hits),
        ],
    }


def content_digest(train: Sequence[Example], held_out: Sequence[Example]) -> str:
    """Identity of the rows alone: where they came from does not count."""
    return digest_json(
        {
            "train": sorted(example.id for example in train),
            "eval": sorted(example.id for example in held_out),
        }
    )


def _duplicates(left_out: Sequence[LeftOut]) -> dict[str, Any]:
    duplicates = sorted(
        (row for row in left_out if row.reason.endswith("_duplicate")),
        key=lambda row: (row.source, row.line),
    )
    return {
        "exact": sum(row.reason == "exact_duplicate" for row in duplicates),
        "near": sum(row.reason == "near_duplicate" for row in duplicates),
        "shown": [
            {"row": f"{row.source}, line {row.line}", "kept": row.related[0], "detail": row.detail}
            for row in duplicates[:_SHOWN]
        ],
    }


def _outdated(left_out: Sequence[LeftOut]) -> dict[str, Any]:
    """Rows whose answer a person has replaced, by name."""
    outdated = [row for row in left_out if row.reason == OUTDATED]
    return {
        "rows": len(outdated),
        "shown": [
            {"row": f"{row.source}, line {row.line}", "question": row.excerpt, "detail": row.detail}
            for row in sorted(outdated, key=lambda row: (row.source, row.line))[:_SHOWN]
        ],
    }


def _contradictions(selection: Selection) -> dict[str, Any]:
    return {
        "questions": len(selection.contradictions),
        "varied_wording": selection.varied,
        "shown": [
            [
                {
                    "source": example.source,
                    "line": example.line,
                    "question": example.question,
                    "answer": example.completion,
                }
                for example in examples
            ]
            for examples in sorted(
                selection.contradictions, key=lambda rows: (rows[0].source, rows[0].line)
            )[:_SHOWN]
        ],
    }


def _labels_without_eval(
    held_out: Sequence[Example], labels: dict[str, dict[str, int]]
) -> dict[str, list[str]]:
    """Field → values that no held-out case has."""
    seen = {
        (field, value)
        for example in held_out
        for field, value in labels_of(example.completion, labels).items()
    }
    missing = {
        field: [value for value in counts if (field, value) not in seen]
        for field, counts in labels.items()
    }
    return {field: values for field, values in missing.items() if values}


def _conversations(selection: Selection) -> dict[str, int]:
    """Conversations that several rows are of, and these rows."""
    kept = (*selection.train, *selection.eval)
    keys = Counter(key for row in kept if (key := selection.conversations.get(row.id)))
    several = [count for count in keys.values() if count > 1]
    return {"rows": sum(several), "conversations": len(several)}


def _remarks(
    imported: Imported, selection: Selection, classes: Coverage, system_hits: Counter[str]
) -> list[dict[str, str]]:
    remarks = [remark for file in imported.files for remark in _file_remarks(file)]
    remarks += classes.remarks()
    talks = _conversations(selection)
    if talks["rows"]:
        remarks.append(
            (
                "conversations",
                f"{talks['rows']} rows are of {talks['conversations']} conversations; each is on "
                "one side of the split.",
            )
        )
    if selection.template_rows:
        remarks.append(
            (
                "template",
                f"{selection.template_rows} rows share a template; there only equal inputs count "
                "as duplicates, and the split does not keep like ones together.",
            )
        )
    if system_hits:
        names = ", ".join(sorted(system_hits))
        remarks.append(
            ("retired_term", f"task.system still says {names}; it is left as it stands.")
        )
    return [{"code": code, "message": message} for code, message in remarks]


def _file_remarks(file: FileCount) -> Iterator[tuple[str, str]]:
    if file.rows == 0:
        yield "empty_file", f"{file.source} has no rows."
    if file.read_as:
        yield "read_as", f"{file.source} was read as: {file.read_as}."
    if broken := file.left_out["not_utf8"]:
        yield (
            "not_utf8",
            f"{broken} rows of {file.source} are not UTF-8, and the file is plainly in no encoding "
            f"that is known here. Save it as UTF-8, or convert it: iconv -f ENCODING -t UTF-8",
        )
    if file.own_system:
        yield (
            "own_system_text",
            f"{file.own_system} rows of {file.source} bring a system text that is not the model "
            "file's; they keep it.",
        )
    for column, rows in sorted(file.unused.items()):
        yield (
            "unused_column",
            f"{file.source}: {rows} rows fill {column!r}, which no format knows and which is too "
            "long for a tag; nothing learns from it.",
        )
    recognised = file.forms.total()
    if recognised and file.ungrouped == recognised:
        yield "no_group_field", f"No row of {file.source} has the group field."
