"""Answers a wrong argument of a public function with a sentence, not with an error from deep below.

What an argument must be is read from its annotation, so that the signature, the check and the
reference page cannot say different things.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tuneloop.errors import UsageError

if TYPE_CHECKING:
    import inspect

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")

_WORDS = {
    "str": "a text that is not empty",
    "bool": "True or False",
    "int": "a whole number of at least 1",
    "float": "a number",
    "Path": "a path",
    "timedelta": "a timedelta that is not negative",
    "Sequence": "a list",
    "Collection": "a list",
    "Progress": "an object with the methods step, update and note",
    "None": "None",
}
_PLURAL = {"str": "texts"}


def checked(
    function: Callable[P, R], *, returned_by: Mapping[str, str] | None = None
) -> Callable[P, R]:
    """Check the arguments of each call against the function's annotations.

    The call then raises a UsageError for an argument that the function does not have, one that is
    missing, and one of another kind: an empty text, a text where a list of texts belongs, a number
    below 1, a negative timedelta. `returned_by` is type → the methods that return one.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        _check(function, args, kwargs, returned_by or {})
        return function(*args, **kwargs)

    return call


def checked_methods(class_: type[C]) -> type[C]:
    """`checked` for every public method of a class, those of the class itself too."""
    public = {name: member for name, member in vars(class_).items() if not name.startswith("_")}
    returned_by: dict[str, str] = {}
    for name, member in public.items():
        returned = getattr(member, "__annotations__", {}).get("return", "None")
        if returned not in _WORDS:
            known = returned_by.get(returned)
            returned_by[returned] = name if known is None else f"{known} or {name}"
    for name, member in public.items():
        if isinstance(member, classmethod):
            setattr(class_, name, classmethod(checked(member.__func__, returned_by=returned_by)))
        elif callable(member):
            setattr(class_, name, checked(member, returned_by=returned_by))
    return class_


def _check(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    returned_by: Mapping[str, str],
) -> None:
    signature = _signature(function)
    name = _name(function, args)
    unknown = [key for key in kwargs if key not in signature.parameters]
    if unknown:
        raise UsageError(f"{name} has no argument {unknown[0]!r}.", remedy=_takes(signature))
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as e:
        raise UsageError(f"{name}: {e}.", remedy=_takes(signature)) from None
    for key, value in bound.arguments.items():
        kinds = _kinds(signature.parameters[key])
        if kinds and not any(_fits(kind, value) for kind in kinds):
            makers = next((returned_by[kind] for kind in kinds if kind in returned_by), "")
            raise UsageError(
                f"{key} of {name} is {_shown(value)}; expected {_words(kinds, value)}.",
                remedy=f"It is what {makers} returns." if makers else "",
            )


def _name(function: Callable[..., Any], args: Sequence[Any]) -> str:
    """As a caller writes it: `Loop.train`, whatever class it inherits it of, `tuneloop.open`."""
    if "." not in function.__qualname__:
        return f"{function.__module__}.{function.__name__}"
    if not args:
        return function.__qualname__
    class_ = args[0] if isinstance(args[0], type) else type(args[0])
    return f"{class_.__name__}.{function.__name__}"


@functools.cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    import inspect

    return inspect.signature(function)


def _kinds(parameter: inspect.Parameter) -> list[str]:
    """What the annotation allows; nothing for `self`, which has none."""
    written = parameter.annotation
    return written.split(" | ") if isinstance(written, str) else []


def _fits(kind: str, value: Any) -> bool:
    of, _, item = kind.rstrip("]").partition("[")
    match of:
        case "None":
            return value is None
        case "str":
            return isinstance(value, str) and bool(value.strip())
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool) and value >= 1
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "Path":
            return isinstance(value, os.PathLike)
        case "timedelta":
            return isinstance(value, timedelta) and value >= timedelta()
        case "Progress":
            return all(callable(getattr(value, name, None)) for name in ("step", "update", "note"))
        case "Sequence" | "Collection":
            # What can be gone through once would be used up by looking at it here.
            listed = isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)
            return listed and all(_fits(item, element) for element in value)
        case "Literal":
            return value in _choices(item)
    return any(base.__name__ == of for base in type(value).__mro__)


def _words(kinds: list[str], value: Any) -> str:
    written = " or ".join(map(_word, kinds))
    lists = any(kind.endswith("[str]") for kind in kinds)
    return f"{written}, such as [{value!r}]" if lists and isinstance(value, str) else written


def _word(kind: str) -> str:
    of, _, item = kind.rstrip("]").partition("[")
    if of == "Literal":
        return f"one of {', '.join(_choices(item))}"
    word = _WORDS.get(of, f"{'an' if of[0] in 'AEIOU' else 'a'} {of}")
    return f"{word} of {_PLURAL.get(item, f'{item}s')}" if item else word


def _choices(written: str) -> list[str]:
    """The texts of a `Literal`."""
    return [choice.strip("'\" ") for choice in written.split(",")]


def _shown(value: Any) -> str:
    if value is None or isinstance(value, str | int | float | bool | timedelta):
        return repr(value)[:80]
    return f"a {type(value).__name__}"


def _takes(signature: inspect.Signature) -> str:
    names = [name for name in signature.parameters if name not in ("self", "cls")]
    return f"It takes {', '.join(names)}." if names else "It takes no argument."
