"""What Apprise says reaches nobody with a secret in it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tuneloop.modelfile import ChannelUrl
from tuneloop.monitoring.notifications.message import Message
from tuneloop.monitoring.notifications.sending import scrubbed, send

# A plug-in of Apprise imports it, whichever service is asked for.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

MESSAGE = Message(title="t", body="b")


def test_every_part_of_the_url_is_taken_out() -> None:
    url = "slack://Team1/B0%2FX/tOken?footer=no&key=a%3Ab%20c"
    said = "invalid token (token) for TEAM1, B0/X and B0%2FX; key a:b c"
    assert scrubbed(said, url) == "invalid **** (****) for ****, **** and ****; **** ****"


class Kept(logging.Handler):
    """What reaches our own log."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.names.append(record.name)


@pytest.fixture
def own_log() -> Iterator[Kept]:
    """Our log at its lowest level; pytest's own would listen to Apprise itself."""
    import apprise  # noqa: F401  logs that it is there

    root, kept = logging.getLogger(), Kept()
    level = root.level
    root.addHandler(kept)
    root.setLevel(logging.DEBUG)
    yield kept
    root.removeHandler(kept)
    root.setLevel(level)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nosuchservice://hunter2/x", "Unparseable URL nosuchservice://****"),
        ("slack://hunter2", "Could not load Slack URL: slack://****"),
        ("${TEAM_CHAT}", "variable TEAM_CHAT, which alerts.notify refers to, is not set. Set"),
        ("json://127.0.0.1:1/hunter2", "A Connection error occurred"),
    ],
)
def test_what_cannot_be_sent_says_why_and_keeps_the_secret(
    url: str, expected: str, own_log: Kept
) -> None:
    error = send(ChannelUrl(url), MESSAGE, environment={})
    assert error is not None and expected in error
    assert "hunter2" not in error
    assert "apprise" not in own_log.names


def test_a_reference_is_looked_up_when_it_is_sent() -> None:
    error = send(
        ChannelUrl("${TEAM_CHAT}"), MESSAGE, environment={"TEAM_CHAT": "json://127.0.0.1:1/hunter2"}
    )
    assert error is not None and "A Connection error occurred" in error
