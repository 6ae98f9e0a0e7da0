"""Hugging Face's class labels: numbers in the file, and their names in the schema's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tuneloop.readers.plain import UnfitError

_KEY = b"huggingface"
_LISTS = ("Sequence", "List", "LargeList")
_NOT_KNOWN = -1
"""What the `datasets` library writes where a test row has no label."""


def labelled_columns(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Column → its feature, for those that hold class labels; empty without such metadata."""
    try:
        features = json.loads((metadata or {})[_KEY])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    if not isinstance(features, Mapping):
        return {}
    return {str(name): feature for name, feature in features.items() if _has_labels(feature)}


def named(value: Any, feature: Any, where: str) -> Any:
    """A value with the names of its labels; one without a label is None.

    Raises:
        UnfitError: there is no such label.
    """
    if value is None or not _has_labels(feature):
        return value
    if isinstance(feature, list):
        return [named(item, feature[0], f"{where}[{n}]") for n, item in enumerate(value)]
    kind = feature.get("_type")
    if kind == "ClassLabel":
        return _name(value, feature, where)
    if kind in _LISTS:
        inner = feature["feature"]
        if isinstance(value, Mapping):  # a list of objects is stored as an object of lists
            return {
                key: named(items, [inner[key]], f"{where}.{key}") for key, items in value.items()
            }
        return [named(item, inner, f"{where}[{n}]") for n, item in enumerate(value)]
    return {key: named(item, feature.get(key), f"{where}.{key}") for key, item in value.items()}


def _name(value: Any, feature: Mapping[str, Any], where: str) -> Any:
    if not isinstance(value, int) or value == _NOT_KNOWN:
        return None if value == _NOT_KNOWN else value
    names = feature["names"]
    if not 0 <= value < len(names):
        raise UnfitError(
            "unknown_label", f"{where} is {value}; the file names the labels 0 to {len(names) - 1}"
        )
    return names[value]


def _has_labels(feature: Any) -> bool:
    if isinstance(feature, list):
        return len(feature) == 1 and _has_labels(feature[0])
    if not isinstance(feature, Mapping):
        return False
    kind = feature.get("_type")
    if kind == "ClassLabel":
        return isinstance(feature.get("names"), list)
    if kind in _LISTS:
        return _has_labels(feature.get("feature"))
    return not isinstance(kind, str) and any(map(_has_labels, feature.values()))
