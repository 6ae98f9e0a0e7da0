"""The base's files: read by one rule, and taken by the converter?"""

from __future__ import annotations

from collections.abc import Iterator

from tuneloop.deployment.export import convertible
from tuneloop.deployment.export.disk import in_megabytes
from tuneloop.registry.base_model import weight_files
from tuneloop.setup.base_facts import FETCHED
from tuneloop.setup.finding import Finding, UnseenError, error, ok, warning
from tuneloop.setup.look import Look

_WHOLE = "model.safetensors"
_SHOWN = 3
_NEWER = (
    "Set LLAMA_CPP_DIR to a newer llama.cpp that supports it, or choose another base: every "
    "candidate is served as a GGUF file here to be checked."
)


def weights(look: Look) -> Iterator[Finding]:
    """Nobody reads other weights than the next one."""
    base = look.base
    if not base.has_weights:
        raise UnseenError("Its weights are not on this machine yet.", remedy=FETCHED)
    if not base.is_folder:
        yield ok("weights", f"{base.file.name}, {in_megabytes(base.file.stat().st_size)}.")
        return
    loaded = weight_files(base.file)
    others = sorted(file.name for file in base.file.glob("*.safetensors") if file not in loaded)
    has_index = (base.file / f"{_WHOLE}.index.json").is_file()
    if others and has_index and loaded == [base.file / _WHOLE]:
        yield error(
            "weights",
            f"They are there twice: training reads {_WHOLE}, the converter {_named(others)}.",
            f"Keep one of the two: delete {_WHOLE}, or the other files with {_WHOLE}.index.json.",
        )
    elif others:
        yield warning(
            "weights",
            f"Nothing reads {_named(others)} beside {_named([f.name for f in loaded])}: the "
            "weights may be there twice.",
            f"Delete what is not needed: it counts in the base's identity and takes "
            f"{in_megabytes(sum((base.file / name).stat().st_size for name in others))}.",
        )
    elif not has_index and (base.file / _WHOLE) not in loaded:
        yield error(
            "weights",
            f"{_named([f.name for f in loaded])}: neither {_WHOLE} nor an index of its parts, so "
            "transformers loads none of it.",
            f"Get {_WHOLE}.index.json, or the folder that save_pretrained() writes.",
        )
    else:
        size = sum(file.stat().st_size for file in loaded)
        yield ok("weights", f"{_named([f.name for f in loaded])}, {in_megabytes(size)}.")


def converter(look: Look) -> Iterator[Finding]:
    """llama.cpp's converter knows the architecture and the way in which text is split."""
    base = look.base
    if not base.is_folder:
        raise UnseenError(
            f"{base.file.name} is not dequantised yet, which the first run does.",
            remedy="llama.cpp's own file can nearly always be made again.",
        )
    source = convertible.converter_source()
    for name in base.config.get("architectures") or ():
        if not convertible.knows_architecture(source, name):
            yield error("converter", f"llama.cpp's converter does not know {name}.", _NEWER)
            return
    if base.tokenizer is None or (base.file / "tokenizer.model").is_file():
        yield ok("converter", f"It knows {_architecture(look)}; the tokenizer has its own file.")
        return
    known = convertible.knows_splitting(
        source, base.rules, lambda text: base.tokenizer.encode(text).ids
    )
    if known is None:
        raise UnseenError("The converter's source does not tell whether it knows this tokenizer.")
    if known:
        yield ok("converter", f"It knows {_architecture(look)} and how its tokenizer splits text.")
        return
    # transformers may change the rules of other classes while it reads them.
    as_written = base.tokenizer_class in ("", "PreTrainedTokenizerFast", "TokenizersBackend")
    yield (error if as_written else warning)(
        "converter",
        "llama.cpp's converter does not know how this tokenizer splits text (its pre-tokenizer).",
        _NEWER,
    )


def _architecture(look: Look) -> str:
    return ", ".join(look.base.config.get("architectures") or ("the architecture",))


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
