"""`loop.golden`."""

from __future__ import annotations

from tuneloop.arguments import checked_methods
from tuneloop.errors import UsageError
from tuneloop.loop.part import Part
from tuneloop.monitoring.measurement import Measurement
from tuneloop.online_evaluation import golden


@checked_methods
class Golden(Part):
    """Fixed cases asked on the live endpoint: the suites of kind `golden`."""

    def run(self) -> Measurement:
        """Ask the golden suites and compare with the release; moves the alert `golden`.

        The requests are marked as probes: no figure about production counts them. An API key is
        taken from TUNELOOP_API_KEY.

        Raises:
            UsageError: nothing is in production, or the model file names no golden suite.
            EvaluationError: a suite file cannot be used.
        """
        measured = golden.run_golden(self._project, self._project.workspace.now())
        if measured is None:
            raise UsageError(
                "The model file names no golden suite.",
                remedy="Add one under `evaluation.suites` with `kind: golden`.",
            )
        return measured
