"""Where rows come from when it is no path: an fsspec URL, which may need a password or a token.

A secret stands in the environment and is written as `${NAME}`. What is shown and stored of a URL is
`public_name`: without user, password and query, and with `${NAME}` where its value would be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl

from pydantic import AfterValidator

from tuneloop.errors import ModelFileError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::|://)")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
WEB = ("http", "https")
_NO_LOGIN = ("abfs", "abfss", "az", "gist", "git", "github", "hf")
"""Schemes with an `@` that divides other things: a container and its account, a commit."""
_SECRET_PARAMETER = re.compile(
    r"(^|[-_.])(token|key|apikey|sig|signature|secret|password|passwd|pwd|auth|authorization|"
    r"credentials?)$",
    re.IGNORECASE,
)


def is_url(source: str) -> bool:
    """Whether a source is a URL, and no path."""
    return _URL.match(source) is not None


def _is_source(text: str) -> str:
    """No message here quotes the text: it may hold a secret."""
    if not is_url(text):
        return text
    if "${" in _REFERENCE.sub("", text):
        raise ValueError('holds a "${" that is not a reference such as ${EXPORT_TOKEN}')
    if any(_holds_secret(link) for link in text.split("::")):
        raise ValueError(
            "holds a password or a token; write it as ${NAME}, a variable of the environment"
        )
    return text


SourceText = Annotated[str, AfterValidator(_is_source)]
"""A path, a pattern, a folder or a URL; a URL with a secret written out is refused."""


@dataclass(frozen=True)
class SourceUrl:
    """A URL of `data.sources` with the environment's values in it: it may be a secret."""

    url: str
    hidden: Mapping[str, str]
    """Value of a variable → how it is written, `${NAME}`."""

    @classmethod
    def of(cls, text: str, environment: Mapping[str, str]) -> SourceUrl:
        """The URL that a source of the model file means.

        Raises:
            ModelFileError: a variable is not set.
        """
        hidden: dict[str, str] = {}
        for reference in _REFERENCE.finditer(text):
            value = environment.get(reference[1])
            if not value:
                raise ModelFileError(
                    f"The environment variable {reference[1]}, which data.sources refers to, is "
                    "not set.",
                    remedy=f"Set {reference[1]} and run the same command again; for the worker, "
                    "where `tuneloop up` is started.",
                )
            hidden[value] = reference[0]
        url = _REFERENCE.sub(lambda reference: environment[reference[1]], text)
        return cls(url=url, hidden=hidden)

    @property
    def scheme(self) -> str:
        """Of the outermost link, such as `s3`."""
        return re.split(r"::|://", self.url, maxsplit=1)[0].lower()

    @property
    def is_web(self) -> bool:
        """Whether a web server is asked, which lists nothing and whose query is no pattern."""
        return self.scheme in WEB

    @property
    def public_name(self) -> str:
        """The URL as it is shown and stored."""
        return self.named(self.url)

    def named(self, url: str) -> str:
        """A URL that was found below this one, as it is shown and stored."""
        return self._veiled("::".join(map(_without_login, url.split("::"))))

    def scrubbed(self, text: str) -> str:
        """A library's words without what must not be shown."""
        text = text.replace(self.url, self.public_name)
        for link in self.url.split("::"):
            for secret in _secrets(link):
                text = text.replace(secret, "****")
        return self._veiled(text)

    def _veiled(self, text: str) -> str:
        for value in sorted(self.hidden, key=len, reverse=True):
            text = text.replace(value, self.hidden[value])
        return text


def _parts(link: str) -> tuple[str, str, str, str]:
    """Scheme, login, the rest up to the query, query."""
    scheme, separator, rest = link.partition("://")
    if not separator:
        return "", "", link, ""
    query = ""
    if scheme.lower() in WEB:
        rest, _, query = rest.partition("#")[0].partition("?")
    authority, slash, path = rest.partition("/")
    login = ""
    if scheme.lower() not in _NO_LOGIN:
        login, _, authority = authority.rpartition("@")
    return scheme, login, f"{authority}{slash}{path}", query


def _without_login(link: str) -> str:
    scheme, _, rest, _ = _parts(link)
    return f"{scheme}://{rest}" if scheme else rest


def _secrets(link: str) -> list[str]:
    """What a link holds beside the place, the longest first."""
    _, login, _, query = _parts(link)
    values = [login, *login.split(":"), query, *(value for _, value in parse_qsl(query))]
    return sorted((value for value in values if len(value) > 3), key=len, reverse=True)


def _holds_secret(link: str) -> bool:
    """Whether a password or token is written out."""
    scheme, login, _, query = _parts(link)
    user, colon, password = login.partition(":")
    written_out = [password] if colon else [user] if scheme.lower() in WEB else []
    written_out += [value for name, value in parse_qsl(query) if _SECRET_PARAMETER.search(name)]
    return any(_REFERENCE.sub("", secret) for secret in written_out)
