"""What a row says of its own worth: whether its answer is right, and whether it is learnt.

The booleans of KTO, the thumbs of a chat page, weights and masks of trainers: an answer that was
marked as bad must never be taught as a right one, and a mark that cannot be understood leaves its
row out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tuneloop.task.rows.fields import Fields, FormError, column_error

MARKED_BAD = "marked_bad"
"""Reason code of a row whose answer somebody found bad."""
_BOOLEANS = ("label", "kto_tag")
"""Columns of KTO that hold true or false. Other words in a `label` are a class."""
_VERDICTS = ("thumbs", "thumb", "feedback")
"""Columns that hold good or bad, in whatever words."""
_JUDGED = ("vote", "verdict", "quality", "user_feedback")
"""The same, where they hold words: their numbers are counts and scores."""
_RIGHT = (
    "correct", "is_correct", "is_good", "is_helpful", "accepted", "is_accepted", "approved",
    "is_approved", "upvoted", "desirable",
)  # fmt: skip
_WRONG = ("rejected", "is_rejected", "deleted", "is_deleted", "is_bad", "downvoted")
"""Columns that are marks where they hold true or false, and tags where they hold anything else."""
_TRAINED = ("train", "training", "trainable", "trained")
_GOOD = frozenset(
    {"true", "yes", "good", "positive", "up", "thumbs_up", "thumbsup", "like", "👍", "desirable"}
)
_BAD = frozenset(
    {"false", "no", "bad", "negative", "down", "thumbs_down", "thumbsdown", "dislike", "👎",
     "undesirable"}
)  # fmt: skip


def check_row(row: Fields, used: set[str], least_rating: float | None, *, pair: bool) -> None:
    """Refuse a row that says that it is not to be learnt; `used`: columns of prompt and answer.

    A text in these columns that is no such mark is a tag like any other. What is said of a `pair`
    is said of two answers.

    Raises:
        FormError: naming the column.
    """
    if not row.any(_ALL_MARKS):
        return
    if bad := marked_bad(row, used):
        raise column_error(MARKED_BAD, bad)
    if "rating" in row and "rating" not in used and not (pair and isinstance(row["rating"], list)):
        _check_rating(row["rating"], row.key("rating"), least_rating)
    for name, read in _MARKS.items():
        if name not in row or name in used or _is_a_word(row[name]):
            continue
        try:
            learnt = read(row[name], row.key(name))
        except FormError as e:
            raise column_error(e.reason, e.detail) from None
        if not learnt:
            raise column_error(name, f"{row.key(name)} is {row[name]}: the row is not to be learnt")


def marked_bad(row: Fields, used: set[str]) -> str:
    """Which column says that the row's answer is a bad one, in words; empty where none does."""
    for name in (*_BOOLEANS, *_VERDICTS, *_JUDGED, *_RIGHT, *_WRONG):
        if name in row and name not in used and _is_bad(name, row[name]):
            return f"{row.key(name)} is {row[name]}: the answer was marked as bad"
    return ""


def _is_bad(name: str, value: Any) -> bool:
    """Whether a column of this name says that the answer is a bad one."""
    word = str(value).strip().lower()
    if name in _RIGHT or name in _WRONG:
        return word in ("true", "false") and (word == "true") == (name in _WRONG)
    if name in _BOOLEANS:
        return word in _TRUE_OR_FALSE and verdict(value) is False
    if name in _JUDGED and not isinstance(value, str | bool):
        return False
    return verdict(value) is False


def check_margin(row: Fields) -> None:
    """Refuse a pair whose margin or scores say that its chosen answer is not the better one.

    Raises:
        FormError: it is not.
    """
    if "margin" in row and (margin := _number(row["margin"])) is not None and margin <= 0:
        raise FormError("margin", f"margin is {row['margin']}: the chosen answer is not better")
    for names in _SCORES:
        better, worse = (_number(row.get(name)) for name in names)
        if better is not None and worse is not None and better <= worse:
            raise FormError(
                "margin",
                f"{row.key(names[0])} {better:g} is not above {row.key(names[1])} {worse:g}",
            )


def turn_mark(value: Mapping[str, Any], role: str, where: str) -> bool | None:
    """Whether a turn is learnt, as it says itself; None where it says nothing.

    Raises:
        FormError: what it says cannot be done.
    """
    if "train_detail" in value:
        raise FormError("train_detail", f"{where}.train_detail: parts of a turn are not learnt")
    said = [
        TURN_MARKS[name](value[name], f"{where}.{name}") for name in value if name in TURN_MARKS
    ]
    if not said:
        return None
    if role != "assistant":
        if any(_flag(value[name], where) for name in _TRAINED if name in value):
            raise FormError("train", f"{where}: only the assistant's turns are learnt")
        return None
    return all(said)


def verdict(value: Any) -> bool | None:
    """Whether an answer is good; None where a value is no verdict, but a label like any other."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return True if value == 1 else False if value in (0, -1) else None
    word = str(value).strip().lower().replace(" ", "_")
    return True if word in _GOOD else False if word in _BAD else None


def _check_rating(value: Any, key: str, least: float | None) -> None:
    number = _number(value)
    if number is None:
        if verdict(value) is False:
            raise column_error(MARKED_BAD, f"{key} is {value}: the answer was marked as bad")
        if any(character.isdigit() for character in str(value)):
            raise column_error("rating", f"{key} is {value!r}; expected a number, or good or bad")
    elif least is None:
        raise column_error(
            "rating",
            f"{key} is {value}, and nobody said which ratings are good; data.least_rating says it",
        )
    elif number < least:
        raise FormError("rating", f"{key} is {value}, below data.least_rating ({least:g})")


def _turn_rating(value: Any, where: str) -> bool:
    """Whether a turn is learnt that has a rating of its own: as words only."""
    good = verdict(value) if isinstance(value, str) else None
    if good is None and any(character.isdigit() for character in str(value)):
        raise column_error(
            "rating",
            f"{where} is {value!r}; ratings of single turns are not read, weight 0 or 1 is",
        )
    return good is not False


def _not_bad(name: str) -> Callable[[Any, str], bool]:
    return lambda value, where: not _is_bad(name, value)


def _is_a_word(value: Any) -> bool:
    return isinstance(value, str) and verdict(value) is None and _number(value) is None


def _flag(value: Any, where: str) -> bool:
    said = verdict(value)
    if said is None:
        name = where.rsplit(".", 1)[-1]
        raise FormError(name, f"{where} is {value!r}; expected true or false")
    return said


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
_SCORES = tuple(
    (pattern.format("chosen"), pattern.format("rejected"))
    for pattern in ("score_{}", "{}_score", "rating_{}", "{}_rating")
)
"""Of the better and of the worse answer."""
TURN_MARKS: Mapping[str, Callable[[Any, str], bool]] = {
    **_MARKS,
    "loss": _flag,
    "loss_mask": _flag,
    "loss_scale": _weight,
    "masked": lambda value, where: not _flag(value, where),
    "ignore": lambda value, where: not _flag(value, where),
    "rating": _turn_rating,
    **{name: _not_bad(name) for name in (*_BOOLEANS, *_VERDICTS, *_JUDGED, *_RIGHT, *_WRONG)},
}
"""The same of a turn: an answer that was marked as bad is context only."""
_ALL_MARKS = frozenset(TURN_MARKS)
