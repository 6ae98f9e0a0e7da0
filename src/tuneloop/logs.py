"""How the long-running processes write their logs: JSON lines in a file, text on a terminal.

What a message is about is given as `extra` and becomes fields of its line:

    _log.warning("No answer.", extra={"interaction": id, "endpoint": name, "error": code})

Nothing here takes a secret out again: keys are never given to a logger.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

_OF_EVERY_RECORD = vars(logging.makeLogRecord({})).keys() | {"message", "asctime", "taskName"}
_OURS = "tuneloop"


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, then its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in vars(record).items():
            if name not in _OF_EVERY_RECORD:
                line.setdefault(name, value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(stream: TextIO | None = None) -> None:
    """Log from now on to `stream`, standard error by default, faults that end the process too."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    handler.setFormatter(text if stream.isatty() else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(_OURS).setLevel(logging.INFO)
    logging.captureWarnings(True)
    sys.excepthook = _log_the_end


def message_of(line: str) -> str:
    """What a line of a log says to people; a line that is no JSON is a message itself."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    return str(record["message"]) if isinstance(record, dict) and "message" in record else line


def _log_the_end(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger(_OURS).critical("%s: %s", kind.__name__, error, exc_info=(kind, error, trace))
