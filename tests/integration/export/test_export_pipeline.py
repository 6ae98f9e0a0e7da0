"""From trained adapter to served quantisation, on a tiny model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tuneloop.deployment.backends.llamacpp import LLAMA_CPP, LlamaServer, LlamaSettings
from tuneloop.deployment.backends.llamacpp_observation import http_poster
from tuneloop.deployment.export.child import Child
from tuneloop.deployment.export.forms.form import gguf_name
from tuneloop.deployment.export.merge import merge_adapter
from tuneloop.deployment.export.observe import Weights, observe_weights
from tuneloop.deployment.export.parity import (
    DEFAULT_BOUNDS,
    check_parity,
    compare_observations,
    require_parity,
)
from tuneloop.deployment.export.stage import Export, export_candidate, open_export
from tuneloop.deployment.observation import Observation
from tuneloop.errors import DeploymentError, GateError
from tuneloop.progress import Silent
from tuneloop.registry.base_model import BaseModel, resolve_base
from tuneloop.registry.gguf_base import check_gguf_belongs, open_gguf
from tuneloop.testing.tiny_model import make_tiny_model

QUANTISATIONS = ("f16", "q8_0", "q5_k_m", "q4_k_m")
PROMPTS = [
    [{"role": "system", "content": "Sort."}, {"role": "user", "content": text}]
    for text in ("Where is my parcel 1234?", "I was charged twice!", "Grüße, zażółć 🚀")
]


@dataclass
class Noted:
    """A progress that remembers its notes and counts."""

    notes: list[str] = field(default_factory=list)
    updates: list[tuple[float, float | None, str]] = field(default_factory=list)

    def step(self, text: str, *, keeps: str = "") -> None:
        """Ignore."""

    def update(self, done: float, total: float | None, detail: str = "") -> None:
        """Keep."""
        self.updates.append((done, total, detail))

    def note(self, text: str) -> None:
        """Keep."""
        self.notes.append(text)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A tiny base with a trained adapter, and their export."""

    base: BaseModel
    adapter: Path
    export: Export
    notes_of_second_run: list[str]


def make_adapter(base: Path, folder: Path) -> Path:
    """A LoRA adapter with weights that change every answer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    settings = LoraConfig(
        r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM",
        init_lora_weights=False,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(base)
    with warnings.catch_warnings():
        # PEFT 0.21 asks transformers for a name that it calls deprecated.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        model = get_peft_model(model, settings)
    model.save_pretrained(folder)
    return folder


EXPORT = """
import sys
from pathlib import Path
from tuneloop.deployment.export.stage import export_candidate
from tuneloop.progress import Silent
from tuneloop.registry.base_model import resolve_base
base, adapter, output = map(Path, sys.argv[1:4])
export_candidate(
    base=resolve_base(str(base), cache=output.parent, progress=Silent()), trained=adapter,
    output=output, quantisations=sys.argv[4:], name="tiny", progress=Silent(),
)
"""


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    """Exported by a process that is killed after the merge, and finished by a second run."""
    root = tmp_path_factory.mktemp("export")
    base = resolve_base(
        str(make_tiny_model(root / "base")), cache=root / "cache", progress=Silent()
    )
    adapter = make_adapter(base.folder, root / "adapter")
    output = root / "out"
    command = [sys.executable, "-c", EXPORT, base.folder, adapter, output, *QUANTISATIONS]
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 100
    while not (root / "out.progress.json").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / "export.json").exists()
    progress = Noted()
    export = export_candidate(
        base=base, trained=adapter, output=output, quantisations=QUANTISATIONS, name="tiny",
        progress=progress,
    )  # fmt: skip
    return Candidate(base=base, adapter=adapter, export=export, notes_of_second_run=progress.notes)


def serve(path: Path) -> LlamaServer:
    settings = LlamaSettings(threads=1, parallel=1, context_tokens=512)
    return LlamaServer(path, served_name="tiny", settings=settings)


def test_a_killed_export_continues(candidate: Candidate) -> None:
    merged, *later = candidate.notes_of_second_run
    assert merged.startswith("safetensors is there already")
    assert [note.split(":")[0] for note in later] == list(QUANTISATIONS)


def test_every_form_is_there_and_nothing_else(candidate: Candidate) -> None:
    folder = candidate.export.folder
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["export.json", "safetensors", *(gguf_name(q) for q in QUANTISATIONS)]
    )
    sizes = [candidate.export.forms[q].size_bytes for q in QUANTISATIONS]
    assert sizes == sorted(sizes, reverse=True)
    kept = {"tokenizer.json", "chat_template.jinja", "generation_config.json", "config.json"}
    for name in kept - {"config.json"}:
        original = (candidate.base.folder / name).read_bytes()
        assert (folder / "safetensors" / name).read_bytes() == original
    for quantisation in QUANTISATIONS:
        check_gguf_belongs(folder / gguf_name(quantisation), candidate.base.folder)
    name = open_gguf(folder / gguf_name("q8_0")).get_field("general.name")
    assert name.contents() == "tiny"


def test_the_manifest_holds_no_times_so_that_equal_exports_are_one_artifact(
    candidate: Candidate,
) -> None:
    manifest = json.loads((candidate.export.folder / "export.json").read_text("utf-8"))
    assert "seconds" not in json.dumps(manifest)
    assert all(form.seconds > 0 for form in candidate.export.forms.values())
    stored = open_export(candidate.export.folder)
    assert list(stored.forms) == list(candidate.export.forms)
    assert manifest["inputs"]["base"] == candidate.base.digest


def test_each_form_answers_when_served(candidate: Candidate) -> None:
    for quantisation in QUANTISATIONS:
        with serve(candidate.export.path(quantisation)) as server:
            post = http_poster(server.base_url)
            answer = post("/v1/chat/completions", {"messages": PROMPTS[0], "max_tokens": 8})
        assert answer["usage"]["completion_tokens"] > 0
        assert answer["choices"][0]["message"]["content"], quantisation


def test_parity_of_every_step(candidate: Candidate) -> None:
    verdicts = check_parity(
        base=candidate.base.folder,
        trained=candidate.adapter,
        export=candidate.export,
        prompts=PROMPTS,
        serve=serve,
        reader=LLAMA_CPP,
        # A width of 64 and random weights lose more to four bits than a trained model does.
        bounds={"q5_k_m": 2.0},
        prompts_of={"q4_k_m": 1},
        positions=8,
        progress=Silent(),
    )
    assert [(verdict.reference, verdict.hop) for verdict in verdicts] == [
        ("adapter", "merged"), ("merged", "f16"), ("f16", "q8_0"), ("f16", "q5_k_m"),
        ("f16", "q4_k_m"),
    ]  # fmt: skip
    require_parity(verdicts)
    assert all(verdict.same_token_ids == verdict.prompts for verdict in verdicts)
    assert [verdict.prompts for verdict in verdicts] == [len(PROMPTS)] * 4 + [1]


def test_weights_without_the_adapter_fail_parity(candidate: Candidate) -> None:
    """What a merge that did nothing, and a server that runs the base, would look like."""
    merged, base = observe_weights(
        [
            Weights(folder=candidate.export.path("safetensors")),
            Weights(folder=candidate.base.folder),
        ],
        PROMPTS,
        positions=8,
        progress=Silent(),
    )
    verdict = compare_observations("merged", "adapter", merged, base, DEFAULT_BOUNDS["merged"])
    with pytest.raises(GateError, match="adapter → merged changed the model"):
        require_parity([verdict])
    with serve(candidate.export.path("f16")) as server:
        served = LLAMA_CPP.observe(server.base_url, PROMPTS, positions=8, progress=Silent())
    assert not compare_observations("f16", "merged", base, served, DEFAULT_BOUNDS["f16"]).passed


def test_what_prompts_begin_with_is_computed_once_and_changes_nothing(
    candidate: Candidate,
) -> None:
    """All share the template and a system text; the first two share more than the third."""
    prompts = [*PROMPTS[:2], [*PROMPTS[0][:1], {"role": "user", "content": "Where? " * 9}]]
    weights = [Weights(folder=candidate.export.path("safetensors"))]
    with Child() as child:

        def observed(asked: list[Any]) -> list[Observation]:
            (seen,) = observe_weights(weights, asked, positions=8, progress=Silent(), child=child)
            return seen

        together = observed(prompts)
        apart = [observed([prompt])[0] for prompt in prompts]
    for seen, alone in zip(together, apart, strict=True):
        assert seen.prompt_ids == alone.prompt_ids
        assert seen.generated_ids == alone.generated_ids
        for before, after in zip(alone.top_logprobs, seen.top_logprobs, strict=True):
            assert after == pytest.approx(before, abs=1e-4)


def test_only_what_was_asked_for_and_only_what_is_missing(
    candidate: Candidate, tmp_path: Path
) -> None:
    """A damaged file is made again; the f16 it needs comes from the earlier run."""
    output = tmp_path / "out"
    shutil.copytree(candidate.export.folder, output)
    shutil.copy(f"{candidate.export.folder}.progress.json", f"{output}.progress.json")
    damaged = output / gguf_name("q8_0")
    good = damaged.read_bytes()
    damaged.write_bytes(good[:-1] + b"x")
    progress = Noted()
    export = export_candidate(
        base=candidate.base, trained=candidate.adapter, output=output, quantisations=["q8_0"],
        name="tiny", progress=progress,
    )  # fmt: skip
    assert damaged.read_bytes() == good
    assert [("already" in note) for note in progress.notes] == [True, True, False]
    assert sorted(path.name for path in output.iterdir()) == [
        "export.json", "model-q8_0.gguf", "safetensors",
    ]  # fmt: skip
    with pytest.raises(DeploymentError, match=r"has no q4_k_m: it has safetensors, q8_0"):
        export.path("q4_k_m")


def test_mistakes_are_told_before_any_work(candidate: Candidate, tmp_path: Path) -> None:
    inputs = {"base": candidate.base, "output": tmp_path / "out", "name": "x"}
    with pytest.raises(DeploymentError, match="Unknown quantisation 'q2_k'"):
        export_candidate(
            trained=candidate.adapter, quantisations=["q2_k"], progress=Silent(), **inputs
        )  # type: ignore[arg-type]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DeploymentError, match="no trained weights"):
        export_candidate(trained=empty, quantisations=["f16"], progress=Silent(), **inputs)  # type: ignore[arg-type]
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "adapter_config.json").write_text("{}")
    (pickled / "adapter_model.bin").write_text("")
    with pytest.raises(DeploymentError, match="pickled"):
        merge_adapter(candidate.base.folder, pickled, tmp_path / "merged", progress=Silent())
    assert not (tmp_path / "out").exists() and not (tmp_path / "merged").exists()


def test_an_adapter_of_another_base_is_refused(candidate: Candidate, tmp_path: Path) -> None:
    config = json.loads((candidate.adapter / "adapter_config.json").read_text("utf-8"))
    other = shutil.copytree(candidate.adapter, tmp_path / "other")
    config["target_modules"] = ["no_such_layer"]
    (other / "adapter_config.json").write_text(json.dumps(config))
    output = tmp_path / "merged"
    with pytest.raises(DeploymentError, match="was not trained on the base"):
        merge_adapter(candidate.base.folder, other, output, progress=Silent())
    assert not output.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_whole_fine_tuned_model_is_exported_as_it_is(
    candidate: Candidate, tmp_path: Path
) -> None:
    trained = make_tiny_model(tmp_path / "trained", seed=5)
    export = export_candidate(
        base=candidate.base, trained=trained, output=tmp_path / "out", quantisations=[],
        name="tiny", progress=Silent(),
    )  # fmt: skip
    weights = export.path("safetensors") / "model.safetensors"
    assert weights.read_bytes() == (trained / "model.safetensors").read_bytes()
    assert list(export.forms) == ["safetensors"]


def test_a_gguf_as_base_is_dequantised_once(candidate: Candidate, tmp_path: Path) -> None:
    spec = str(candidate.export.path("q8_0"))
    noted = Noted()
    base = resolve_base(spec, cache=tmp_path / "cache", progress=noted)
    assert noted.updates == [
        (0, None, "importing what reads it"),
        (0, None, "reading the tokenizer"),
        (0, None, "reading the weights"),
        (0, None, "writing"),
    ]
    assert (base.folder / "model.safetensors").is_file()
    made = (base.folder / "model.safetensors").stat().st_mtime_ns
    again = resolve_base(spec, cache=tmp_path / "cache", progress=Silent())
    assert again == base
    assert (base.folder / "model.safetensors").stat().st_mtime_ns == made
    check_gguf_belongs(candidate.export.path("q8_0"), base.folder)
    moved = shutil.copy(spec, tmp_path / "renamed.gguf")
    other = resolve_base(str(moved), cache=tmp_path / "cache", progress=Silent())
    assert replace(other, spec=spec) == base
