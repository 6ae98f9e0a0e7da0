"""Foreign text does nothing to a terminal, whatever prints it."""

from __future__ import annotations

import pytest

from on_terminal import OnTerminal

FOREIGN = "\x1b]0;owned\x07\x1b[2J\x9b31m safe \u202eevil\u202c नमस्ते\u200d"
PRINTS = {
    "text": "out.print(FOREIGN, markup=False)",
    "escaped": "out.print(f'[bold]Asked[/] {escape(FOREIGN)}')",
    "styled": "out.print(Text(FOREIGN, style='red'))",
    "paged": "page(Text(FOREIGN), *map(str, range(30)))",
    "json": "print_json([FOREIGN])",
    "note": "steps.note(FOREIGN)",
    "step": "steps.step(FOREIGN); steps.update(1, 2, FOREIGN); time.sleep(0.3); steps.finish()",
    "followed": "followed(lambda: next(looks), say=lambda _: FOREIGN, until=lambda n: n == 1)",
}


@pytest.mark.process
@pytest.mark.parametrize("how", PRINTS)
def test_foreign_text_is_inert(how: str) -> None:
    code = (
        "import time\nfrom rich.markup import escape\nfrom rich.text import Text\n"
        "from tuneloop.cli.terminal import err, followed, out, page, print_json\n"
        "from tuneloop.cli.steps import Steps\n"
        f"FOREIGN = {FOREIGN!r}\nsteps, looks = Steps(err), iter(range(2))\n{PRINTS[how]}\n"
    )
    with OnTerminal("-c", code, PAGER="cat") as terminal:
        assert terminal.end() == 0
    assert "\x1b]0;" not in terminal.raw and "\x1b[2J" not in terminal.raw
    assert not {"\x07", "\x9b", "\u202e"} & set(terminal.raw)
    assert "safe" in terminal.text and "नमस्ते" in terminal.text
