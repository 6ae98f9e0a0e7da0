"""Texts to vectors: a small protocol, a light default that needs no network, and two others.

| `monitors.embedder` | what it is |
|---|---|
| `static` | the default: averages static word-piece vectors |
| a folder | a Hugging Face or sentence-transformers model on this machine |
| `url`, `model` | any OpenAI-compatible `/embeddings` endpoint |

On CLINC150 the default tells out-of-scope from in-scope messages with AUC 0.936 against 0.957 of a
small transformer, a hundred times faster; docs/decisions/0011-drift-verdict.md has what they find.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tuneloop.errors import ModelFileError, StoreError, require
from tuneloop.hashing import digest_file, digest_json, short
from tuneloop.modelfile import EmbeddingEndpoint

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

_CONFIG = "l2_supercat"
_DIMENSIONS = 256
_BATCH_TEXTS = 64
_MOST_TOKENS = 512
"""A longer text is cut by the local model."""
_ENDPOINT_SECONDS = 60
_MODEL_FILES = (".json", ".txt", ".model", ".safetensors", ".bin")


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
        return _of_length_1(vectors)


class LocalModelEmbedder:
    """A transformer in a local folder: the mean of its last hidden states, or what the folder's
    sentence-transformers configuration says (`1_Pooling/config.json`: mean or first token)."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "config.json").is_file():
            raise ModelFileError(
                f"monitors.embedder: expected a folder with a model, found no config.json in "
                f"{folder}.",
                remedy='Give a Hugging Face or sentence-transformers folder, or "static".',
            )
        self._folder = folder

    @cached_property
    def name(self) -> str:
        """Folder name and the hash of everything in it that decides the vectors."""
        files = sorted(p for p in self._folder.rglob("*") if p.suffix in _MODEL_FILES)
        digests = {str(p.relative_to(self._folder)): digest_file(p) for p in files}
        return f"{self._folder.name}@{short(digest_json(digests))}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, d); see `Embedder`.

        Raises:
            MissingExtraError: torch or transformers is not installed.
            StoreError: the model cannot be loaded.
        """
        import numpy as np

        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.zeros((len(texts), self._model[1].config.hidden_size), dtype=np.float32)
        # Texts of one batch are padded to the longest of them.
        for rows in _batches(order):
            vectors[rows] = self._pooled([texts[row] for row in rows])
        vectors[[row for row, text in enumerate(texts) if not text.strip()]] = 0
        return _of_length_1(vectors)

    def _pooled(self, texts: list[str]) -> Vectors:
        import numpy as np

        torch = require("torch", extra="train")
        tokenizer, model = self._model
        clean = [text.encode("utf-8", "replace").decode("utf-8") or " " for text in texts]
        batch = tokenizer(
            clean, padding=True, truncation=True, max_length=_MOST_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state  # (batch, tokens, d)
        mask = batch["attention_mask"][..., None]
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        pooled = hidden[:, 0] if self._first_token else mean
        return np.asarray(pooled.float().numpy(), dtype=np.float32)

    @cached_property
    def _first_token(self) -> bool:
        pooling = self._folder / "1_Pooling" / "config.json"
        return pooling.is_file() and bool(
            json.loads(pooling.read_text(encoding="utf-8")).get("pooling_mode_cls_token")
        )

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        transformers = require("transformers", extra="train")
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                self._folder, local_files_only=True
            )
            model = transformers.AutoModel.from_pretrained(self._folder, local_files_only=True)
        except (OSError, ValueError) as e:
            raise StoreError(
                f"The embedding model in {self._folder} cannot be loaded: {e}.",
                remedy="Check monitors.embedder in the model file.",
            ) from e
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer, model.eval()


class EndpointEmbedder:
    """An OpenAI-compatible `/embeddings` endpoint."""

    def __init__(self, endpoint: EmbeddingEndpoint) -> None:
        self._endpoint = endpoint

    @property
    def name(self) -> str:
        """The model, where it is served."""
        return f"{self._endpoint.model}@{self._endpoint.base_url.rstrip('/')}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, d); see `Embedder`.

        Raises:
            StoreError: the endpoint is unreachable, refuses, or answers something else.
        """
        import numpy as np

        # Servers refuse an empty text.
        rows = [row for row, text in enumerate(texts) if text.strip()]
        answered: list[list[float]] = []
        for batch in _batches(rows):
            answered += self._ask([texts[row] for row in batch])
        # Of nothing but empty texts the width is not known.
        width = len((answered or self._ask(["."]))[0])
        vectors = np.zeros((len(texts), width), dtype=np.float32)
        if rows:
            vectors[rows] = answered
        return _of_length_1(vectors)

    def _ask(self, texts: list[str]) -> list[list[float]]:
        try:
            with urllib.request.urlopen(self._request(texts), timeout=_ENDPOINT_SECONDS) as answer:
                data = json.load(answer)["data"]
            vectors = [row["embedding"] for row in sorted(data, key=lambda row: row["index"])]
            if len(vectors) != len(texts) or len({len(vector) for vector in vectors}) != 1:
                raise ValueError(f"{len(vectors)} vectors for {len(texts)} texts")
            return vectors
        except urllib.error.HTTPError as e:
            e.close()
            raise self._failure(f"HTTP {e.code} {e.reason}") from e
        except (OSError, http.client.HTTPException) as e:
            raise self._failure(f"no answer ({e})") from e
        except (ValueError, KeyError, TypeError) as e:
            raise self._failure(f"not what an embeddings endpoint answers ({e})") from e

    def _request(self, texts: list[str]) -> urllib.request.Request:
        headers = {"Content-Type": "application/json"}
        variable = self._endpoint.api_key_env
        if variable is not None:
            if not os.environ.get(variable):
                raise ModelFileError(
                    f"monitors.embedder.api_key_env: the environment has no {variable}.",
                    remedy=f"Set it: export {variable}=…",
                )
            headers["Authorization"] = f"Bearer {os.environ[variable]}"
        return urllib.request.Request(
            self._endpoint.base_url.rstrip("/") + "/embeddings",
            data=json.dumps({"model": self._endpoint.model, "input": texts}).encode(),
            headers=headers,
        )

    def _failure(self, what: str) -> StoreError:
        return StoreError(
            f"The embeddings endpoint {self._endpoint.base_url} (model {self._endpoint.model}) "
            f"failed: {what}.",
            remedy='Check monitors.embedder in the model file; "static" needs no server.',
        )


def embedder_of(setting: str | EmbeddingEndpoint, *, folder: Path) -> Embedder:
    """The embedder that `monitors.embedder` names; paths are relative to the model file's folder.

    Raises:
        ModelFileError: a folder without a model.
    """
    if isinstance(setting, EmbeddingEndpoint):
        return EndpointEmbedder(setting)
    return StaticEmbedder() if setting == "static" else LocalModelEmbedder(folder / setting)


def _batches(rows: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(rows), _BATCH_TEXTS):
        yield list(rows[start : start + _BATCH_TEXTS])


def _of_length_1(vectors: Vectors) -> Vectors:
    """The vectors (n, d) with length 1, or 0 where they had none."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)  # (n, 1)
    usable = np.isfinite(lengths) & (lengths > 0)
    unit = np.where(usable, vectors, 0) / np.where(usable, lengths, 1)
    return np.asarray(unit, dtype=np.float32)


def _package_version() -> str:
    _wordllama()
    return version("wordllama")


def _wordllama() -> Any:
    """The package, without what importing it does: it has the whole process log at level INFO, and
    so every other library tell its progress on the terminal."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    package = require("wordllama", extra="monitor")
    root.setLevel(level)
    root.handlers[:] = handlers
    return package


@cache
def _load() -> Any:
    wordllama = _wordllama()
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
