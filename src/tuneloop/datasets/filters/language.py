"""Rows in another script than the declared language's.

Only scripts are told apart: it finds Russian or Chinese among English, not German. Telling
languages of one script apart needs more text than a short message has.
"""

from __future__ import annotations

from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.base import KEEP, FilterResult, drop
from tuneloop.errors import ModelFileError
from tuneloop.prose.scripts import SCRIPTS, letters_by_script
from tuneloop.sameness import is_json_container

_MIN_LETTERS = 8
_MIN_SHARE = 0.5


class WrongLanguage:
    """Drops `wrong_language`: most letters belong to another script."""

    name = "wrong_language"

    def __init__(self, language: str) -> None:
        """`language` is an ISO 639-1 code.

        Raises:
            ModelFileError: its script is not known here.
        """
        code = language.lower().split("-")[0]
        if code not in SCRIPTS:
            raise ModelFileError(
                f"data.language is {language!r}, whose script is not known.",
                remedy=f"Expected one of: {', '.join(sorted(SCRIPTS))}; or leave it out.",
            )
        self._language, self._scripts = language, SCRIPTS[code]

    def __call__(self, example: Example) -> FilterResult:
        """Count the letters of message and answer by script; short texts are kept."""
        texts = [("message", example.question)]
        if not is_json_container(example.completion):
            texts.append(("answer", example.completion))
        for what, text in texts:
            scripts = letters_by_script(text)
            total = scripts.total()
            fitting = sum(scripts[script] for script in self._scripts)
            if total >= _MIN_LETTERS and fitting / total < _MIN_SHARE:
                main = scripts.most_common(1)[0][0].title()
                return drop(
                    "wrong_language",
                    f"the {what} is mostly in {main} script; expected {self._language}",
                )
        return KEEP
