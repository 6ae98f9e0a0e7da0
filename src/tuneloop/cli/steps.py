"""Steps of long work as a person sees them: bars on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tuneloop.cli.durations import Durations
from tuneloop.foreign_text import inert, shortened
from tuneloop.progress import Pace, duration

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import Task, TaskID

SECONDS_BETWEEN_LINES = 10.0
"""Of a step in a log."""
_REFRESHES_PER_SECOND = 4
_WORTH_SAYING_SECONDS = 1.0
_NOTE_LINES = 4
_WARNING = "warning: "
_TO_BE_READ = (_WARNING, "failed: ", "refused: ")
_WIDE_COLUMNS = 100


def draws(console: Console) -> bool:
    """Whether a bar can be drawn there, which takes more than a terminal without a cursor."""
    return console.is_terminal and not console.is_dumb_terminal


@dataclass(frozen=True, kw_only=True)
class Step:
    """A piece of work that has begun."""

    text: str
    keeps: str
    """What of it there is for the next time when it is interrupted; empty: it begins again."""
    pace: Pace
    seconds_before: float | None
    """That a step of this kind took the last time."""

    def clock(self, now: float) -> str:
        """What a person who waits wants to know: the time left, else the time gone."""
        left = self.pace.left_at(now)
        if left is not None:
            return f"{duration(left)} left"
        gone = now - self.pace.began
        if self.seconds_before is not None and gone < self.seconds_before:
            return f"about {duration(self.seconds_before - gone)} left"
        return f"{duration(gone)} so far"


class Steps:
    """Tells steps, their progress and notes on one console."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is written before the first step; `clock` tells seconds."""
        self._console = console
        self._clock = clock
        self._bar: _Bar | None = None
        self._line_at = 0.0
        self._warned: set[str] = set()
        self.current: Step | None = None
        self.durations: Durations | None = None
        """Of earlier steps, where they are remembered."""

    def step(self, text: str, *, keeps: str = "") -> None:
        """Finish the step before and announce the next one."""
        self.finish()
        now = self._clock()
        before = self.durations.of(text) if self.durations else None
        self.current = Step(text=text, keeps=keeps, pace=Pace(now), seconds_before=before)
        self._line_at = now
        self._announce(text)
        if draws(self._console):
            self._bar = _Bar(self._console, self.current)

    def _announce(self, text: str) -> None:
        """Below its first line a long text stands under itself."""
        mark = Text("▸", style="bold cyan")
        if self._console.is_terminal:
            line = Table.grid(padding=(0, 1, 0, 0))
            line.add_row(mark, Text(text))
            self._console.print(line)
        else:
            self._console.print(Text.assemble(mark, " ", text), soft_wrap=True)

    def update(self, done: float, total: float | None, detail: str = "") -> None:
        """Move the current step's bar; in a log, a line at most every ten seconds."""
        if self.current is None:
            return
        now, pace = self._clock(), self.current.pace
        pace.update(now, done, total, inert(detail))
        if self._bar is not None:
            self._bar.move()
        elif now - self._line_at >= SECONDS_BETWEEN_LINES:
            self._line_at = now
            self._console.print(f"  {how_far(pace, now)}", markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """A line below the step; on a terminal a very long one is shortened in its middle.

        What somebody must read is whole. A warning that several steps have is said by the first.
        """
        if text.startswith(_WARNING):
            if text in self._warned:
                return
            self._warned.add(text)
        if self._console.is_terminal:
            room = (self._console.width - 2) * _NOTE_LINES
            told = text if text.startswith(_TO_BE_READ) else shortened(text, room)
            self._console.print(Padding(Text(told), (0, 0, 0, 2)))
        else:
            self._console.print(f"  {text}", markup=False, soft_wrap=True)

    def finish(self, *, whole: bool = True) -> None:
        """End the current step and say how long it took; `whole`: it came to its end."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if self.current is not None:
            seconds = self._clock() - self.current.pace.began
            if seconds >= _WORTH_SAYING_SECONDS:
                self._console.print(f"  [dim]{duration(seconds)}[/]")
            if self.durations is not None and whole:
                self.durations.keep(self.current.text, seconds)
            self.current = None


def how_far(pace: Pace, now: float) -> str:
    """`34 of 80, epoch 2 of 3, 1:20 min left`."""
    parts = [part for part in (pace.count, pace.detail) if part]
    if (left := pace.left_at(now)) is not None:
        parts.append(f"{duration(left)} left")
    return ", ".join(parts)


class _Bar:
    """The line that moves: a wheel, and once the length is known a bar, a count and the rest."""

    def __init__(self, console: Console, step: Step) -> None:
        pace = self._pace = step.pace
        self._bars = _columns(console, step)
        self._task: TaskID = self._bars.add_task("", total=pace.total, completed=int(pace.done))
        self._bars.start()

    def move(self) -> None:
        """To where the work is."""
        self._bars.update(self._task, total=self._pace.total, completed=self._pace.done)

    def stop(self) -> None:
        """It goes, and leaves nothing behind."""
        self._bars.stop()


def _columns(console: Console, step: Step) -> Bars:
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn
    from rich.table import Column

    bar = BarColumn(bar_width=30 if console.width >= _WIDE_COLUMNS else 12)

    class Length(ProgressColumn):
        """Nothing before the length is known."""

        def render(self, task: Task) -> RenderableType:
            return "" if task.total is None else bar.render(task)

    class Count(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(step.pace.count)

    class Detail(ProgressColumn):
        """Gives way to the others where there is little room."""

        def render(self, task: Task) -> Text:
            return Text(step.pace.detail)

    class Clock(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(step.clock(time.monotonic()), style="cyan")

    fixed = Column(no_wrap=True)
    return Progress(
        SpinnerColumn(table_column=fixed),
        Length(table_column=fixed),
        Count(table_column=Column(no_wrap=True)),
        Detail(table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        Clock(table_column=Column(no_wrap=True, justify="right")),
        console=console,
        transient=True,
        expand=True,
        refresh_per_second=_REFRESHES_PER_SECOND,
    )
