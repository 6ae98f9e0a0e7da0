"""`tuneloop init`: from a data file to a model file that needs no editing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from on_terminal import tuneloop
from tuneloop.cli.main import app
from tuneloop.datasets import versions
from tuneloop.datasets.recipe import recipe
from tuneloop.errors import DataError, ModelFileError, UsageError
from tuneloop.loop import Loop
from tuneloop.modelfile import load


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with messages and slots, which no known name tells apart, and a base."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text('{"model_type": "llama"}')
    (base / "tokenizer.json").write_text("{}")
    (base / "model.safetensors").write_bytes(b"")
    rows = [
        {
            "said": f"a table on the {n * 7919}th in {chr(97 + n % 23) * 4}",
            "slots": {"day": str(n * 7919), **({"place": "inside"} if n % 2 else {})},
        }
        for n in range(60)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "tables.jsonl").write_text(text)
    cases = [{"said": f"chairs by {n}", "slots": {"day": str(n)}} for n in range(5)]
    (tmp_path / "golden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in cases))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def init(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["init", *arguments, "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0
    return json.loads(done.stdout)


def test_columns_are_written_and_every_stage_reads_them(folder: Path) -> None:
    found = init("tables.jsonl", "--base", "base")
    assert found["found"]["columns"] == {"prompt": "said", "answer": "slots"}
    assert found["problems"] == [] and found["next"] == "tuneloop run"
    path = folder / "tuneloop.yaml"
    suites = "\n  suites: [{name: golden, file: golden.jsonl}]"
    path.write_text(path.read_text().replace("evaluation:", f"evaluation:{suites}", 1))
    loop = Loop.open(path)
    try:
        loop.check(base=True)
        made = loop.prepare()
        examples = versions.read_examples(loop.workspace, made, "train")
        assert made.report["rows_kept"] == 60 and made.report["left_out"] == {}
        one = next(one for one in examples if one.line == 2)
        assert one.question == "a table on the 7919th in bbbb"
        assert json.loads(one.completion) == {"day": "7919", "place": "inside"}
        assert made.report["recipe"]["data"]["columns"] == {"prompt": "said", "answer": "slots"}
        from tuneloop.candidates.candidate import plan_for

        golden = plan_for(loop.project, made).suites[1]
        assert [case.question for case in golden.cases][:1] == ["chairs by 0"]
        assert json.loads(golden.cases[0].expected or "") == {"day": "0"}
    finally:
        loop.close()


def test_settings_without_columns_have_the_digest_that_they_had(folder: Path) -> None:
    path = folder / "tuneloop.yaml"
    path.write_text("name: m\nbase: base\ndata: {sources: [tables.jsonl]}\n")
    settings = load(path, environment={}).settings
    assert "columns" not in settings.model_dump(mode="json")["data"]
    assert "columns" not in recipe(settings.data, settings.task)["data"]
    path.write_text(path.read_text().replace("]}", "], columns: {prompt: said, answer: slots}}"))
    declared = load(path, environment={}).settings.model_dump(mode="json")["data"]
    assert declared["columns"] == {"prompt": "said", "answer": "slots"}


@pytest.mark.process
def test_the_text_says_what_was_found_and_what_to_do(folder: Path) -> None:
    with tuneloop("init", "tables.jsonl", "--base", "./bas", "-f", ".", cwd=folder) as terminal:
        assert terminal.end() == 1, "a script does not go on with what is not there"
    shown = terminal.text
    assert max(map(len, shown.splitlines())) <= 80
    flat = " ".join(shown.split())
    assert "rows 60, 60 usable" in flat
    assert "said → slots; guessed: slots holds JSON objects" in flat
    assert "JSON with day, place; required: day" in flat
    assert "base: The base model ./bas does not exist" in flat and "Did you mean base?" in flat
    assert "data.columns: guessed" in flat
    assert flat.endswith("Correct what is not there, then: tuneloop run")


def test_no_file_is_overwritten_and_a_mistyped_path_offers_the_nearest(folder: Path) -> None:
    init("tables.jsonl", "--base", "base")
    before = (folder / "tuneloop.yaml").read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        init("tables.jsonl", "--name", "other")
    assert (folder / "tuneloop.yaml").read_bytes() == before
    assert init("tables.jsonl", "--name", "other", "--force")["name"] == "other"
    with pytest.raises(DataError) as caught:
        init("tabels.jsonl", "--force")
    assert caught.value.remedy == "Did you mean tables.jsonl?"
    (folder / "models").mkdir()
    with pytest.raises(UsageError) as refused:
        init("tables.jsonl", "-f", "modles/tuneloop.yaml")
    assert refused.value.remedy == "Did you mean models?"


@pytest.mark.parametrize(
    "column", ["Customer\nmessage", 'ask\nalerts: {notify: ["json://x"]}\n#', "ask\x0b\u2028\x00it"]
)
def test_a_name_of_a_column_writes_no_line_of_the_model_file(folder: Path, column: str) -> None:
    rows = [{column: f"a table for {n * 7919}", "slots": {"day": str(n)}} for n in range(60)]
    (folder / "tables.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert init("tables.jsonl", "--base", "base")["found"]["columns"]["prompt"] == column
    found = load(folder / "tuneloop.yaml", environment={}).settings
    assert found.data.columns is not None and found.data.columns.prompt == column
    assert found.alerts.notify == ()


def test_a_model_file_that_could_not_be_read_is_not_left(folder: Path) -> None:
    with pytest.raises(ModelFileError, match=r"No model file was written.*\n.*name: .*'Bad Name'"):
        init("tables.jsonl", "--base", "base", "--name", "Bad Name")
    assert not list(folder.glob("*tuneloop.yaml*"))
    init("tables.jsonl", "--base", "base")
    before = (folder / "tuneloop.yaml").read_bytes()
    with pytest.raises(ModelFileError):
        init("tables.jsonl", "--base", "base", "--name", "Bad Name", "--force")
    assert (folder / "tuneloop.yaml").read_bytes() == before
    assert [one.name for one in folder.glob("*tuneloop.yaml*")] == ["tuneloop.yaml"]


def test_a_mistyped_model_file_offers_the_nearest(folder: Path) -> None:
    init("tables.jsonl", "--base", "base")
    done = CliRunner().invoke(app, ["config", "check", "-f", "tunelop.yaml"])
    assert f"Did you mean {folder / 'tuneloop.yaml'}?" in str(done.exception)


@pytest.mark.parametrize(("count", "batch"), [(60, 8), (1_200, 16)])
def test_few_rows_are_trained_in_small_steps(folder: Path, count: int, batch: int) -> None:
    rows = [{"prompt": f"Where is parcel {n}?", "completion": f"At {n}."} for n in range(count)]
    (folder / "parcels.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    init("parcels.jsonl", "--base", "base")
    assert load(folder / "tuneloop.yaml", environment={}).settings.training.batch_size == batch
