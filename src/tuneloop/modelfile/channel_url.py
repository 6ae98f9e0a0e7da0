"""Where notifications go: an Apprise URL, which as a rule holds a password or a token.

A URL is shown as its scheme, `slack://****`; its text is for the sender alone. One that is kept in
the environment is written as `${NAME}` and shown like that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Secret

from tuneloop.errors import ModelFileError

MASK = "****"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://(?=\S)", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _is_channel(text: str) -> str:
    """No message here quotes the text: it may be a secret."""
    if MASK in text:
        raise ValueError("is how tuneloop shows a URL, not the URL itself")
    if "${" in _REFERENCE.sub("", text):
        raise ValueError('holds a "${" that is not a reference such as ${TEAM_SLACK}')
    if _REFERENCE.fullmatch(text) is None and (_SCHEME.match(text) is None or " " in text):
        raise ValueError(
            "expected a URL of a notification service, such as slack://… or mailto://…, "
            "or ${NAME}, a variable of the environment that holds one"
        )
    return text


class ChannelUrl(Secret[Annotated[str, AfterValidator(_is_channel)]]):
    """One channel of `alerts.notify`."""

    def _display(self) -> str:
        text = self.get_secret_value()
        scheme = _SCHEME.match(text)
        return text if scheme is None else f"{scheme[1]}://{MASK}"

    def resolved(self, environment: Mapping[str, str]) -> str:
        """The URL with the environment's values in it: a secret.

        Raises:
            ModelFileError: a variable is not set.
        """

        def value(reference: re.Match[str]) -> str:
            name = reference[1]
            if not environment.get(name):
                raise ModelFileError(
                    f"The environment variable {name}, which alerts.notify refers to, is not set.",
                    remedy=f"Set {name} where `tuneloop up` is started, and start it again.",
                )
            return environment[name]

        return _REFERENCE.sub(value, self.get_secret_value())
