"""Texts to vectors: a small protocol, and a light default that needs no network.

The default averages static word-piece vectors. On CLINC150 it tells out-of-scope from in-scope
messages with AUC 0.936 against 0.957 of a small transformer, a hundred times faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tuneloop.errors import StoreError, require

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

_CONFIG = "l2_supercat"
_DIMENSIONS = 256


class Embedder(Protocol):
    """Turns texts into vectors; two embedders with one name give the same vectors."""

    @property
    def name(self) -> str:
        """Its identity, recorded with everything that was computed with it."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, d), float32, of length 1; length 0 for a text without any token."""


class StaticEmbedder:
    """WordLlama's static embeddings (256 dimensions) from the installed package."""

    @property
    def name(self) -> str:
        """Package version and weights."""
        return f"wordllama-{_package_version()}/{_CONFIG}-{_DIMENSIONS}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, 256); see `Embedder`.

        Raises:
            MissingExtraError: the package is not installed.
            StoreError: its weights are not where it puts them.
        """
        import numpy as np

        # JSON may hold half of a surrogate pair, which the tokenizer refuses.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        # An average over no tokens is 0 / 0.
        with np.errstate(invalid="ignore", divide="ignore"):
            vectors = np.asarray(_load().embed(clean), dtype=np.float32)  # (n, d)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)  # (n, 1)
        usable = np.isfinite(lengths) & (lengths > 0)
        unit = np.where(usable, vectors, 0) / np.where(usable, lengths, 1)
        return np.asarray(unit, dtype=np.float32)


def _package_version() -> str:
    require("wordllama", extra="monitor")
    return version("wordllama")


@cache
def _load() -> Any:
    wordllama = require("wordllama", extra="monitor")
    try:
        # Without these arguments it looks for its own files on the network.
        return wordllama.WordLlama.load(
            config=_CONFIG,
            dim=_DIMENSIONS,
            cache_dir=Path(str(wordllama.__file__)).parent,
            disable_download=True,
        )
    except FileNotFoundError as e:
        raise StoreError(
            f"The embedding weights of the installed wordllama package are missing: {e}.",
            remedy="Install it again with: pip install --force-reinstall --no-deps wordllama",
        ) from e
