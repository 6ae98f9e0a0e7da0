"""What somebody changed in a prose answer, as one reads it: the text with its changes marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from tuneloop.foreign_text import one_line

if TYPE_CHECKING:
    from tuneloop.prose.changes import Edit
    from tuneloop.review import ReviewItem

_STYLES = {"same": "", "removed": "red strike", "added": "green"}
_SET_IN = 2


def changed_text(before: str, after: str, console: Console) -> Text:
    """Both texts in one: in colours where the console has them, else `[-removed-]{+added+}`."""
    from tuneloop.prose.changes import marked, shown, word_diff

    runs = word_diff(before, after)
    if not console.is_terminal or console.no_color or console.color_system is None:
        return Text(marked(runs))
    coloured, last = Text(), "same"
    for how, text in shown(runs):
        if (last, how) == ("removed", "added"):
            coloured.append(" ")  # Colours part no words for whoever cannot see them.
        coloured.append(text, _STYLES[how])
        last = how if text else last
    return coloured


def told(edit: Edit) -> str:
    """`changes 3 % of the words; facts: - 20 mg, + 40 mg`."""
    from tuneloop.prose.changes import named

    what = {"form": "form only", "wording": "wording", "facts": "facts"}[edit.kind]
    facts = named(edit.removed, edit.added, edit.moved)
    much = f"{share(edit.share)} of the words" if edit.share else "no word"
    return f"changes {much}; {what}{f': {facts}' if facts else ''}"


def share(value: float) -> str:
    """A share in per cent, which is 0 only where nothing changed."""
    return "<1 %" if 0 < value < 0.01 else f"{value * 100:.0f} %"


def section(heading: str, note: str, body: Text, console: Console) -> Iterator[RenderableType]:
    """A heading, and below it a long text, set in where lines are broken."""
    yield Text.assemble((heading, "bold"), (f" ({one_line(note)})" if note else "", "dim"))
    yield Padding(body, (0, 0, 0, _SET_IN), expand=False) if console.is_terminal else body


def prose_item(
    item: ReviewItem, answers: Mapping[str, str], console: Console
) -> Iterator[RenderableType]:
    """A review item whose answers are prose.

    `answers`: those that one may choose from → who says so.
    """
    from tuneloop.prose.changes import edit_of

    def against(heading: str, text: str, note: str = "") -> Iterator[RenderableType]:
        """An answer, where it can be as what it changes of the model's."""
        if not item.answer.strip() or item.answer.strip() == text.strip():
            said = "Answered" if heading == "Proposed" and item.answer.strip() else heading
            return section(said, note, Text(text), console)
        edit = told(edit_of(item.answer, text))
        body = changed_text(item.answer, text, console)
        return section(heading, "; ".join(filter(None, (note, edit))), body, console)

    yield from section("Asked", "", Text(item.question), console)
    for number, (answer, by) in enumerate(answers.items(), start=1):
        yield from against(str(number), answer, by)
    if item.final is not None:
        yield from against("Approved", item.final)
    elif item.proposal not in answers:
        yield from against("Proposed", item.proposal)


def shown_item(item: ReviewItem, console: Console, *, prose: bool) -> Iterator[RenderableType]:
    """One item, whole."""
    yield Text(f"{item.id}  {item.kind}, {item.status}", style="bold")
    if prose:
        yield from prose_item(item, {}, console)
        return
    later = ("Proposed", item.proposal) if item.final is None else ("Approved", item.final)
    for heading, text in (("Asked", item.question), ("Answered", item.answer), later):
        if text:
            yield from section(heading, "", Text(text), console)
