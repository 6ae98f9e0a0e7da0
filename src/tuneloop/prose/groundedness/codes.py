"""Codes: e-mail and web addresses, order and article numbers, versions, telephone numbers."""

from __future__ import annotations

from collections.abc import Iterator

import regex

_L = r"[\p{Latin}\p{Greek}\p{Cyrillic}]"
_CODE = regex.compile(
    r"(?P<whole>(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
    r"|(?<!\w)(?:https?://|www\.)[^\s<>\"'”»)\]]{1,2000}(?<![.,;:!?]))"
    r"|(?<![\w.])(?:"
    # A version, if it is no date with points.
    r"(?!\p{Nd}{1,2}\.\p{Nd}{1,2}\.(?:\p{Nd}{4}|\p{Nd}{2})(?!\.?\p{Nd}))\p{Nd}+(?:\.\p{Nd}+){2,}"
    r"|\+?\(?\p{Nd}{2,5}\)?(?:[ -]\(?\p{Nd}{2,5}\)?){2,6}"
    r"|\p{Lu}{1,6}[-_#/]?\p{Nd}++(?:[-_/.]?[\p{Lu}\p{Nd}]++)*+"
    r"|\p{Nd}++[-_/]?\p{Lu}{1,6}(?:[-_/]?[\p{Lu}\p{Nd}]++)*+"
    rf"|{_L}++\p{{Nd}}++(?:[-_.]?[{_L[1:-1]}\p{{Nd}}]++)*+"
    r"|\#\p{Nd}[\p{L}\p{Nd}-]*"
    r")(?![\p{L}\p{M}\p{Nd}])"
)
_LEAST_PHONE_DIGITS = 7
_LONGEST = 200
"""Characters of a code; what is longer is an answer that ran away."""


def codes_in(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each code."""
    for match in _CODE.finditer(text):
        code = match[0]
        if len(code) > _LONGEST:
            continue
        digits = sum(map(str.isdecimal, code))
        is_phone = code[0] != "#" and "." not in code and not any(map(str.isalpha, code))
        if match["whole"] or not is_phone or digits >= _LEAST_PHONE_DIGITS:
            yield match.span()


def has_code(text: str, code: str) -> bool:
    """Whether a code stands in a text, however its signs are parted; `text` in lower case."""
    if "@" in code or code.lower().startswith(("http", "www.")):
        return code.lower().rstrip("/") in text
    signs = [sign for sign in code.lower() if sign.isalnum()]
    apart = r"[\W_]*".join(map(regex.escape, signs))
    return regex.search(rf"(?<![\p{{L}}\p{{Nd}}]){apart}(?![\p{{L}}\p{{Nd}}])", text) is not None
