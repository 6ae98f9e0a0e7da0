"""All that a console prints is inert: customers' messages, model answers and rows come by here."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import (
    Console,
    ConsoleOptions,
    ConsoleRenderable,
    RenderableType,
    RenderHook,
    RenderResult,
)
from rich.measure import Measurement
from rich.segment import Segment

from tuneloop.foreign_text import inert


class Inert(RenderHook):
    """Makes all that a console prints inert; what Rich itself does to the terminal is not text.

    A line that moves (`rich.live`) is drawn past it; who moves one makes its text inert.
    """

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Each as it was, but for its text."""
        return [_Filtered(renderable) for renderable in renderables]


class _Filtered:
    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _filtered(console.render(self._inner, options))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._inner)


def _filtered(segments: Iterable[Segment]) -> Iterable[Segment]:
    for segment in segments:
        if segment.control:
            yield segment
        else:
            yield Segment(inert(segment.text), segment.style)
