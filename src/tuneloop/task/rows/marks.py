"""What a row says of its own worth: whether its answer is right, and whether it is learnt.

The booleans of KTO, the thumbs of a chat page, weights and masks of trainers: an answer that was
marked as bad must never be taught as a right one, and a mark that cannot be understood leaves its
row out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tuneloop.task.rows.fields import Fields, FormError

MARKED_BAD = "marked_bad"
"""Reason code of a row whose answer somebody found bad."""
_BOOLEANS = ("label", "kto_tag")
"""Columns of KTO that hold true or false. Other words in a `label` are a class."""
_VERDICTS = ("thumbs", "thumb", "feedback")
"""Columns that hold good or bad, in whatever words."""
_TRAINED = ("train", "training", "trainable")
_GOOD = frozenset(
    {"true", "yes", "good", "positive", "up", "thumbs_up", "thumbsup", "like", "👍", "desirable"}
)
_BAD = frozenset(
    {"false", "no", "bad", "negative", "down", "thumbs_down", "thumbsdown", "dislike", "👎",
     "undesirable"}
)  # fmt: skip


def check_row(row: Fields, used: set[str], least_rating: float | None) -> None:
    """Refuse a row that says that it is not to be learnt; `used`: columns of prompt and answer.

    A text in these columns that is no such mark is a tag like any other.

    Raises:
        FormError: naming the column.
    """
    for name in (*_BOOLEANS, *_VERDICTS):
        if name not in row or name in used:
            continue
        verdict = _verdict(row[name])
        if name in _BOOLEANS and str(row[name]).strip().lower() not in _TRUE_OR_FALSE:
            continue
        if verdict is False:
            raise FormError(
                MARKED_BAD, f"{row.key(name)} is {row[name]}: the answer was marked as bad"
            )
    if "rating" in row and "rating" not in used:
        _check_rating(row["rating"], row.key("rating"), least_rating)
    for name, read in _MARKS.items():
        if name not in row or name in used or _is_a_word(row[name]):
            continue
        if not read(row[name], row.key(name)):
            raise FormError(name, f"{row.key(name)} is {row[name]}: the row is not to be learnt")


def check_margin(row: Fields) -> None:
    """Refuse a pair whose margin or scores say that its chosen answer is not the better one.

    Raises:
        FormError: it is not.
    """
    if "margin" in row and (margin := _number(row["margin"])) is not None and margin <= 0:
        raise FormError("margin", f"margin is {row['margin']}: the chosen answer is not better")
    better, worse = (_number(row.get(f"score_{side}")) for side in ("chosen", "rejected"))
    if better is not None and worse is not None and better <= worse:
        raise FormError("margin", f"score_chosen {better:g} is not above score_rejected {worse:g}")


def turn_mark(value: Mapping[str, Any], role: str, where: str) -> bool | None:
    """Whether a turn is learnt, as it says itself; None where it says nothing.

    Raises:
        FormError: what it says cannot be done.
    """
    if "train_detail" in value:
        raise FormError("train_detail", f"{where}.train_detail: parts of a turn are not learnt")
    said = [read(value[name], f"{where}.{name}") for name, read in _MARKS.items() if name in value]
    if not said:
        return None
    if role != "assistant":
        if any(_flag(value[name], where) for name in _TRAINED if name in value):
            raise FormError("train", f"{where}: only the assistant's turns are learnt")
        return None
    return all(said)


def _verdict(value: Any) -> bool | None:
    """True or false where a value is a verdict, else None: then it is a label like any other."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return True if value == 1 else False if value in (0, -1) else None
    word = str(value).strip().lower().replace(" ", "_")
    return True if word in _GOOD else False if word in _BAD else None


def _check_rating(value: Any, key: str, least: float | None) -> None:
    number = _number(value)
    if number is None:
        if _verdict(value) is False:
            raise FormError(MARKED_BAD, f"{key} is {value}: the answer was marked as bad")
        if any(character.isdigit() for character in str(value)):
            raise FormError("rating", f"{key} is {value!r}; expected a number, or good or bad")
    elif least is None:
        raise FormError(
            "rating",
            f"{key} is {value}, and nobody said which ratings are good; data.least_rating says it",
        )
    elif number < least:
        raise FormError("rating", f"{key} is {value}, below data.least_rating ({least:g})")


def _is_a_word(value: Any) -> bool:
    return isinstance(value, str) and _verdict(value) is None and _number(value) is None


def _flag(value: Any, where: str) -> bool:
    verdict = _verdict(value)
    if verdict is None:
        name = where.rsplit(".", 1)[-1]
        raise FormError(name, f"{where} is {value!r}; expected true or false")
    return verdict


def _weight(value: Any, where: str) -> bool:
    number = _number(value)
    if number not in (0, 1):
        raise FormError("weight", f"{where} is {value!r}; expected 0 (context only) or 1 (learnt)")
    return number == 1


def _number(value: Any) -> float | None:
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


_TRUE_OR_FALSE = ("true", "false", "1", "0", "1.0", "0.0", "-1")
_MARKS: Mapping[str, Callable[[Any, str], bool]] = {
    **dict.fromkeys(_TRAINED, _flag),
    "mask": lambda value, where: not _flag(value, where),
    "weight": _weight,
}
"""Column or key → whether what it marks is learnt."""
