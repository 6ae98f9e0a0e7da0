"""The `tuneloop` command: one verb for every stage, nouns for what they make."""

from __future__ import annotations

import _thread
import logging
import signal
import sys
import threading
from collections.abc import Callable
from typing import Annotated, Any

import typer

from tuneloop import __version__, foreground
from tuneloop.cli import (
    alerts,
    approvals,
    audit,
    backtest,
    bench,
    bundles,
    check,
    config,
    cycle,
    data,
    doctor,
    erasure,
    evaluation,
    exporting,
    failures,
    judge,
    keys,
    looking,
    monitoring,
    people,
    release,
    review,
    rollouts,
    runs,
    serving,
    start,
    status,
    suites,
    traffic,
    triggers,
    worker,
)
from tuneloop.cli.help import SectionedGroup, add_group
from tuneloop.cli.steps import draws
from tuneloop.cli.terminal import StoppedError, err
from tuneloop.errors import TuneloopError

_MOMENT_SECONDS = 0.05

app = typer.Typer(
    name="tuneloop",
    cls=SectionedGroup,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Keeps fine-tuned language models accurate, current and reliable.\n\n"
    "prepare → train → evaluate → deploy → monitor → retrain\n\n"
    "Start with: tuneloop init DATA_FILE, then: tuneloop run",
)

_LOOP, _LIVE, _LOOK = "The loop", "Production", "Look and set up"
_PEOPLE = "People and trust"

app.command("init", rich_help_panel=_LOOK)(start.init)
app.command("check", rich_help_panel=_LOOK)(check.check)
app.command("run", rich_help_panel=_LOOP)(start.run)
app.command("prepare", rich_help_panel=_LOOP)(data.prepare)
app.command("train", rich_help_panel=_LOOP)(runs.train)
app.command("evaluate", rich_help_panel=_LOOP)(evaluation.evaluate)
app.command("export", rich_help_panel=_LOOP)(exporting.export)
app.command("deploy", rich_help_panel=_LIVE)(release.deploy)
app.command("rollback", rich_help_panel=_LIVE)(release.rollback)
app.command("backtest", rich_help_panel=_LIVE)(backtest.backtest)
app.command("bench", rich_help_panel=_LIVE)(bench.bench)
app.command("drill", rich_help_panel=_LIVE)(release.drill)
app.command("up", rich_help_panel=_LIVE)(serving.up)
app.command("restart", rich_help_panel=_LIVE)(serving.restart)
app.command("down", rich_help_panel=_LIVE)(serving.down)
app.command("worker", rich_help_panel=_LIVE)(worker.worker)
app.command("status", rich_help_panel=_LIVE)(status.status)
app.command("history", rich_help_panel=_LIVE)(release.history)
app.command("doctor", rich_help_panel=_LOOK)(doctor.doctor)
app.command("approve", rich_help_panel=_PEOPLE)(approvals.approve)
app.command("reject", rich_help_panel=_PEOPLE)(approvals.reject)
app.command("readmit", rich_help_panel=_PEOPLE)(approvals.readmit)
app.command("erase", rich_help_panel=_PEOPLE)(erasure.erase)
add_group(app, review.app, name="review", section=_LOOP)
add_group(app, cycle.app, name="cycle", section=_LOOP)
add_group(app, rollouts.app, name="rollout", section=_LIVE)
add_group(app, monitoring.app, name="monitor", section=_LIVE)
add_group(app, triggers.app, name="triggers", section=_LIVE)
add_group(app, alerts.app, name="alert", section=_LIVE)
add_group(app, traffic.app, name="traffic", section=_LIVE)
add_group(app, judge.app, name="judge", section=_LIVE)
add_group(app, judge.golden, name="golden", section=_LIVE)
review.app.command("sample")(judge.sample)
add_group(app, keys.app, name="key", section=_LIVE)
add_group(app, approvals.app, name="approvals", section=_PEOPLE)
add_group(app, people.app, name="people", section=_PEOPLE)
add_group(app, audit.app, name="audit", section=_PEOPLE)
data.app.command("rows")(looking.rows)
data.app.command("stats")(looking.stats)
add_group(app, data.app, name="data", section=_LOOK)
add_group(app, runs.app, name="runs", section=_LOOK)
add_group(app, bundles.app, name="bundle", section=_LOOK)
add_group(app, evaluation.app, name="evaluation", section=_LOOK)
add_group(app, suites.app, name="suite", section=_LOOK)
add_group(app, config.app, name="config", section=_LOOK)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tuneloop {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options before the command."""


def main() -> None:
    """Run the command; whatever goes wrong ends in a few clear lines and an exit code.

    | code | means |
    |---|---|
    | 1 | an error that the message explains |
    | 2 | the request cannot be understood, or the model file is wrong |
    | 3 | refused by a gate |
    | 4 | `run`: the candidate waits for an approval |
    | 70 | tuneloop itself failed (EX_SOFTWARE of sysexits.h); the message names the log |
    | 130 | Ctrl-C |
    """
    sys.unraisablehook = _not_swallowed
    # SQLAlchemy logs a Ctrl-C that meets it while it closes, with a traceback, and raises it again.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    if draws(err):
        signal.signal(signal.SIGTSTP, _rest)
    code = _code_of(app)
    # From here on nobody can say anything; a Ctrl-C ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def _stopped(message: str) -> int:
    # The terminal has echoed `^C`.
    err.print(f"\n{message}" if err.is_terminal else message, markup=False)
    return failures.INTERRUPTED


def _not_swallowed(lost: sys.UnraisableHookArgs) -> None:
    """A Ctrl-C that met code which may raise nothing is said again; the rest is told as ever."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        # A moment later: raised in here it would be lost again.
        threading.Timer(_MOMENT_SECONDS, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(lost)


def _rest(number: int, frame: object) -> None:
    """Ctrl-Z: give the cursor back, and let the children rest as well."""
    err.show_cursor(True)
    foreground.rest()


def _code_of(command: Callable[..., Any]) -> int:
    try:
        command()
    except KeyboardInterrupt:
        return _stopped("Stopped.")
    except SystemExit as e:
        if e.code == failures.INTERRUPTED:  # Typer takes Ctrl-C for such an exit, and says nothing.
            return _stopped("Stopped.")
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    except TuneloopError as e:
        failures.tell(e.message, e.remedy)
        return e.exit_code
    except StoppedError as e:
        return _stopped(str(e))
    except BrokenPipeError:
        # The reader went away (`| head`); nobody is left to tell.
        sys.stderr.close()
        return 141
    except OSError as e:
        failures.tell(f"{e.filename or 'the system'}: {e.strerror or e}.", "")
        return 1
    except Exception as e:  # noqa: BLE001 - a traceback is for the log
        failures.tell_unexpected(e)
        return failures.UNEXPECTED
    return 0
