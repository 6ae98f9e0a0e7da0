"""Everything that can fail later, looked at before anything slow begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tuneloop.datasets.versions import DatasetVersion
from tuneloop.errors import CheckError, MissingExtraError, TuneloopError
from tuneloop.project import Project
from tuneloop.setup import names
from tuneloop.setup.checks.base import converter, weights
from tuneloop.setup.checks.calibration import calibration
from tuneloop.setup.checks.constant import constant
from tuneloop.setup.checks.contradictions import contradictions
from tuneloop.setup.checks.decision import decision
from tuneloop.setup.checks.groundedness import groundedness
from tuneloop.setup.checks.kind import kind
from tuneloop.setup.checks.lengths import answer_length, case_length, context, row_length
from tuneloop.setup.checks.names import every_name
from tuneloop.setup.checks.reach import reach
from tuneloop.setup.checks.room import disk, memory
from tuneloop.setup.checks.rows import rows
from tuneloop.setup.checks.suites import cases, suites
from tuneloop.setup.checks.template import clock, system_text, template
from tuneloop.setup.checks.time import time
from tuneloop.setup.checks.tokens import end_token, start_token, vocabulary
from tuneloop.setup.checks.validity import bounds, measures
from tuneloop.setup.checks.weaker import default_gates, weaker
from tuneloop.setup.checks.window import window
from tuneloop.setup.finding import Finding, UnseenError, error, unseen
from tuneloop.setup.look import Look

Check = Callable[[Look], Iterator[Finding]]

Checks = tuple[tuple[str, Check], ...]

_NAMES: Checks = (("names", every_name),)
_GATES: Checks = (
    ("suite", suites),
    ("gate", cases),
    ("gate", default_gates),
    ("calibration", calibration),
    ("weaker", weaker),
    ("constant", constant),
    ("decision", decision),
)
_ROWS: Checks = (
    ("rows", rows),
    ("kind", kind),
    ("contradictions", contradictions),
    ("grounded", groundedness),
)
_MEASURES: Checks = (("measures", measures), ("gate", bounds))
_BASE: Checks = (
    ("weights", weights),
    ("converter", converter),
    ("template", template),
    ("system text", system_text),
    ("start token", start_token),
    ("end token", end_token),
    ("tokens", vocabulary),
    ("clock", clock),
    ("window", window),
    ("row length", row_length),
    ("answer", answer_length),
    ("context", context),
    ("context", case_length),
)
_MACHINE: Checks = (("memory", memory), ("disk", disk), ("reach", reach), ("time", time))
CHECKS: Checks = (*_NAMES, *_ROWS, *_MEASURES, *_GATES, *_BASE, *_MACHINE)
"""What is looked at and how, in the order in which it is told."""

DOING = "Looking at what could fail later"


def look_over(
    project: Project,
    *,
    dataset: DatasetVersion | None = None,
    checks: Checks = CHECKS,
    look: Look | None = None,
) -> list[Finding]:
    """What every check finds; `dataset` where the version that will be trained on is made.

    `look`: one that goes on to be used, so that nothing is read twice.
    """
    look, findings = look or Look(project, dataset=dataset), list[Finding]()
    for what, check in checks:
        try:
            findings += check(look)
        except UnseenError as e:
            findings.append(unseen(what, e.reason, e.remedy))
        except MissingExtraError as e:
            findings.append(unseen(what, e.message, e.remedy))
        except TuneloopError as e:
            # Several checks look at the same thing: what is wrong with it is told once.
            where = next((found.what for found in findings if e.message in found.found), None)
            if where is None:
                findings.append(error(what, e.message, e.remedy))
            else:
                findings.append(
                    unseen(what, f"Not before what is wrong with the {where} is mended.")
                )
    return findings


def require(project: Project, *, dataset: DatasetVersion | None = None, base: bool = False) -> bool:
    """Refuse what is certain to fail later, tell what may; whether the base could be looked at.

    Names come first, as they always did. With `base` it must be known that the base can be had.
    Gates are left to those who know the split.

    Raises:
        ModelFileError: the model file names what is not there.
        BaseModelError: `base`, and nobody could be asked for it.
        CheckError: with everything else that would fail.
    """
    names.check(project, base=base, rows=dataset is None)
    project.progress.step(DOING)
    findings = look_over(project, dataset=dataset, checks=(*_ROWS, *_MEASURES, *_BASE, *_MACHINE))
    if wrong := _tell(project, findings):
        raise CheckError(
            "Nothing was begun, as it would fail later:\n"
            + "\n".join(f"  {finding.sentence}" for finding in wrong),
            remedy="Correct it; `tuneloop check` looks at all of it again.",
        )
    return not any(f.verdict == "not looked at" and f.what == "weights" for f in findings)


def tell(project: Project) -> None:
    """Say what would fail or may fail in training, to those who only prepare rows.

    Raises:
        ModelFileError: the model file names what is not there.
    """
    names.check(project)
    project.progress.step(DOING)
    for finding in _tell(project, look_over(project, checks=(*_ROWS, *_BASE))):
        project.progress.note(f"training would fail: {finding.sentence}")


def _tell(project: Project, findings: Iterable[Finding]) -> list[Finding]:
    """Note the warnings that were not told yet; the errors."""
    told: set[str] = project.once("told", set)
    findings = list(findings)
    for finding in findings:
        if finding.verdict == "warning" and finding.sentence not in told:
            told.add(finding.sentence)
            project.progress.note(f"warning: {finding.sentence}")
        elif finding.what == "time" and finding.verdict == "ok":
            project.progress.note(finding.found)
    return [finding for finding in findings if finding.verdict == "error"]
