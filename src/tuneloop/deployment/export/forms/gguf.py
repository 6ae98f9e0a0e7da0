"""The GGUF kinds: f16 by llama.cpp's converter, and the quantisations that are made from it."""

from __future__ import annotations

from tuneloop.deployment.export.convert import convert_to_gguf
from tuneloop.deployment.export.forms.form import F16, Form, Making
from tuneloop.deployment.export.llama_cpp import find_converter
from tuneloop.deployment.export.quantize import QUANTISATIONS, quantise_gguf, quantiser_version


def _convert(making: Making) -> str:
    return convert_to_gguf(
        making.source,
        making.target,
        name=making.model,
        child=making.child,
        progress=making.progress,
    )


def _quantised(name: str) -> Form:
    def quantise(making: Making) -> str:
        return quantise_gguf(
            making.source, making.target, quantisation=name, progress=making.progress
        )

    return Form(
        name=name,
        about=f"Quantising to {name.upper()}",
        make=quantise,
        made_from=F16,
        tools={"quantiser": quantiser_version},
        share_of_f16=0.54,
    )


GGUF_FORMS = (
    Form(
        name=F16,
        about="Converting to GGUF f16",
        make=_convert,
        tools={"converter": lambda: find_converter().version},
    ),
    *map(_quantised, QUANTISATIONS),
)
