"""What a judge's figures stand on: the calibration of the version that judged, if there is one."""

from __future__ import annotations

from collections.abc import Sequence

from tuneloop.evaluation.judging.calibration import Calibration, corrected
from tuneloop.evaluation.scorers.judge import NAME
from tuneloop.hashing import digest_json, short
from tuneloop.intervals import Figure

NOT_CALIBRATED = "not calibrated: how far it agrees with people is not known"


def calibrate_by(metric: str = NAME) -> str:
    """How the judge of a metric is calibrated."""
    about = "" if metric == NAME else f" --metric {metric}"
    return f"label answers and run `tuneloop judge calibrate{about}`"


def of_rubric(rubric: str, calibrations: Sequence[Calibration]) -> list[Calibration]:
    """Those of judges that are asked by this rubric, whatever model they are; newest first."""
    return [known for known in calibrations if known.judge.endswith(f"@{short(rubric)}")]


def identity(rubric: str, calibrations: Sequence[Calibration]) -> str:
    """Digest of a metric by this rubric, with what corrects it."""
    correcting = [known.as_json() for known in of_rubric(rubric, calibrations)]
    return digest_json([rubric, correcting]) if correcting else rubric


def of_versions(versions: Sequence[str], calibrations: Sequence[Calibration]) -> Calibration | None:
    """That of the only version that judged; None: there are several, or it has none."""
    if len(versions) != 1:
        return None
    return next((known for known in calibrations if known.judge == versions[0]), None)


def objection(
    versions: Sequence[str], calibrations: Sequence[Calibration], *, metric: str = NAME
) -> str:
    """Why no verdict may stand on what these versions said; empty: one may."""
    if len(versions) > 1:
        return (
            f"{len(versions)} versions of the judge judged, which are not comparable; "
            "declare a dated judge.model, so that all are judged anew"
        )
    if not versions:
        return ""
    known = of_versions(versions, calibrations)
    if known is None:
        return f"judge {versions[0]} is {NOT_CALIBRATED}; {calibrate_by(metric)}"
    return f"{known.objection}; {calibrate_by(metric)}" if known.objection else ""


def standing(
    version: str, calibrations: Sequence[Calibration], passed: Figure | None = None
) -> str:
    """How much a judge's figures may be trusted; `passed` is the share to correct."""
    known = of_versions([version], calibrations)
    if known is None:
        return f"judge {version} is {NOT_CALIBRATED}"
    note = f"judge {version} is {known.summary}"
    right = passed and corrected(passed, known)
    if passed is not None and right is not None:
        note += (
            f"; its {passed.value:.3f} corrected for its known error: {right.value:.3f} "
            f"({right.low:.3f} to {right.high:.3f}, n = {right.n})"
        )
    return note
