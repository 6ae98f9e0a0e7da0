"""What a form is: one way in which a model's weights are written, made from another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tuneloop.deployment.export.child import Child
from tuneloop.progress import Progress

SAFETENSORS = "safetensors"
"""The merged weights, a Hugging Face folder: what every form is made from in the end."""
F16 = "f16"
"""The first GGUF, from which the others are made."""


def gguf_name(form: str) -> str:
    """The GGUF file of a form inside an export folder."""
    return f"model-{form}.gguf"


@dataclass(frozen=True, kw_only=True)
class Making:
    """What a form is asked to make."""

    source: Path
    """The file or folder of the form that it is made from."""
    target: Path
    """What is to be written: does not exist, or holds what is left of an interrupted run."""
    model: str
    """The model's name, for the file's own metadata."""
    progress: Progress
    child: Child | None = None
    """What needs torch is done there, which is imported once for all that is made together."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """One row of the table."""

    name: str
    """As in `export.quantisations` of the model file."""
    about: str
    """What is done to make it, for people who wait: "Converting to GGUF f16", "Quantising to …"."""
    make: Callable[[Making], str]
    """Writes the target; returns name and version of the tool that did it. The bytes follow from
    the source, the model's name and the versions in `tools`, and from nothing else."""
    made_from: str = SAFETENSORS
    """The form that is its source."""
    tools: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    """What else decides its bytes: key in `export.json` → name and version."""
    gguf: bool = True
    """A single GGUF file, which llama.cpp can serve; else a file or folder with the form's name."""
    share_of_f16: float = 1.0
    """About how large it is, at most, as a share of the weights with 16 bits."""

    @property
    def file(self) -> str:
        """Where it is inside an export folder."""
        return gguf_name(self.name) if self.gguf else self.name
