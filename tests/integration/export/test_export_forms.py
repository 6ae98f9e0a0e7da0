"""Forms that a package adds are made, kept and told apart like our own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from installed_package import install
from tuneloop.deployment.export.forms.form import SAFETENSORS
from tuneloop.deployment.export.forms.table import FORMS, decided_by, form_of
from tuneloop.deployment.export.stage import (
    Export,
    export_candidate,
    export_inputs,
    is_export_of,
    open_export,
    same_result,
)
from tuneloop.errors import DeploymentError, ExtensionError
from tuneloop.modelfile.sections.deployment import FORM_NAMES
from tuneloop.progress import Silent
from tuneloop.registry.base_model import BaseModel, resolve_base
from tuneloop.table import FORM_GROUP
from tuneloop.testing.tiny_model import make_tiny_model

MODULE = """
from tuneloop.deployment.export.forms.form import Form

MADE = []

def sizes(making):
    MADE.append(making.target.name)
    making.target.mkdir(exist_ok=True)
    found = sorted(making.source.glob("*.safetensors"))
    text = "".join(f"{path.name} {path.stat().st_size}\\n" for path in found)
    (making.target / "sizes.txt").write_text(f"{making.model}\\n{text}")
    return "acme 1.2"

def upper(making):
    MADE.append(making.target.name)
    text = (making.source / "sizes.txt").read_text()
    making.target.write_bytes(b"GGUF" + text.upper().encode())
    return "acme 1.2"

TOOLS = {"acme": lambda: "acme 1.2"}
SIZES = Form(name="sizes", about="Listing sizes", make=sizes, tools=TOOLS, gguf=False)
UPPER = Form(name="upper", about="Writing to capitals", make=upper, made_from="sizes", tools=TOOLS)
"""
ADDS = {FORM_GROUP: {"sizes": "acme:SIZES", "upper": "acme:UPPER"}}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    root = tmp_path_factory.mktemp("forms")
    return resolve_base(
        str(make_tiny_model(root / "base")), cache=root / "cache", progress=Silent()
    )


def exported(base: BaseModel, output: Path, *forms: str, earlier: tuple[Path, ...] = ()) -> Export:
    """As after training all weights: the base itself stands for them, so nothing is merged."""
    return export_candidate(
        base=base,
        trained=base.folder,
        output=output,
        quantisations=forms,
        name="tiny",
        progress=Silent(),
        earlier=earlier,
    )


def test_our_own_forms_are_decided_by_what_they_always_were(base: BaseModel) -> None:
    assert FORMS.names() == FORM_NAMES == ("f16", "q8_0", "q5_k_m", "q4_k_m")
    inputs = export_inputs(base, base.folder, "tiny", FORMS)
    assert inputs.keys() == {"base", "trained", "name", "converter", "quantiser"}
    converted = {"base", "trained", "name", "converter"}
    assert set(decided_by(form_of("f16"))) == converted
    for name in ("q8_0", "q5_k_m", "q4_k_m"):
        assert set(decided_by(form_of(name))) == {*converted, "quantiser"}
    assert same_result(SAFETENSORS, inputs, {**inputs, "name": "other", "converter": "2"})
    assert same_result("f16", inputs, {**inputs, "quantiser": "2"})
    assert not same_result("q8_0", inputs, {**inputs, "quantiser": "2"})


def test_a_packages_forms_are_made_from_each_other_and_what_is_not_asked_for_goes(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, module=MODULE, adds=ADDS)
    export = exported(base, tmp_path / "out", "upper")
    assert list(export.forms) == ["safetensors", "upper"]
    assert {path.name for path in export.folder.iterdir()} == {
        *("export.json", "model-upper.gguf", "safetensors"),
    }
    assert export.path("upper").read_bytes().startswith(b"GGUFTINY\nMODEL.SAFETENSORS ")
    assert export.forms["upper"].is_gguf and export.forms["upper"].tool == "acme 1.2"
    manifest = json.loads((export.folder / "export.json").read_text())
    assert manifest["inputs"]["acme"] == "acme 1.2"


def test_an_earlier_export_is_used_again_and_outlives_its_package(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        install(tmp_path, patched, module=MODULE, adds=ADDS)
        first = exported(base, tmp_path / "first", "sizes")
        assert first.path("sizes").joinpath("sizes.txt").is_file()
        assert not first.forms["sizes"].is_gguf
        second = exported(base, tmp_path / "second", "sizes", "upper", earlier=(first.folder,))
        import acme  # type: ignore[import-not-found]

        assert acme.MADE == ["sizes", "model-upper.gguf"]
        assert is_export_of(
            open_export(second.folder),
            base=base,
            trained=base.folder,
            quantisations=["sizes", "upper"],
            name="tiny",
        )
    reopened = open_export(second.folder)
    assert list(reopened.forms) == ["safetensors", "sizes", "upper"]
    assert reopened.path("upper").is_file()
    assert list(exported(base, tmp_path / "third", earlier=(second.folder,)).forms) == [SAFETENSORS]


def test_a_form_that_is_not_there_or_broken_is_told_before_anything_is_made(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeploymentError, match=r"Unknown quantisation 'sizes'.*f16, q8_0"):
        exported(base, tmp_path / "out", "sizes")
    install(tmp_path, monkeypatch, module="import nowhere_at_all", adds=ADDS)
    with pytest.raises(ExtensionError, match=r"acme 1\.2 adds 'sizes'"):
        exported(base, tmp_path / "out", "sizes")
    assert not (tmp_path / "out").exists()
