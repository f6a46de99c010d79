"""The daemon's log on standard error: for people, for the journal, or a JSON object for each line.

    2026-01-31T12:00:00.123Z WARNING sluice.events web/b1: down (connection refused)
    {"time": "2026-01-31T12:00:00.123Z", "level": "warning", "logger": "sluice.events", "message": ...}

A line that belongs to a request of the API has its number, one about an event all of the event. What others
have chosen, such as names in a path, cannot make lines of its own: control characters are written as escapes.
"""

import json
import logging
import os
import sys
import time
from dataclasses import asdict
from typing import Any

from controller.api.request_id import request_id
from controller.events import Event

PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""By level, as syslog and the journal have them (RFC 5424, section 6.2.1; sd-daemon(3))."""

JSON = "json"

QUIET = {"uvicorn": logging.WARNING}
"""Libraries that tell more than anybody wants to know."""


def to_stderr(level: str, form: str) -> None:
    """Logs what has `level` at least, for people or as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter_of(form))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(least)


def formatter_of(form: str) -> logging.Formatter:
    if form == JSON:
        return JsonFormatter()
    return JournalFormatter() if _is_the_journal() else HumanFormatter()


def _is_the_journal() -> bool:
    """Whether standard error goes to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    about = os.fstat(sys.stderr.fileno())
    return os.environ.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


class HumanFormatter(logging.Formatter):
    """Time (UTC), level, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{moment(record.created)} {record.levelname:<7} {self._text(record)}"

    def _text(self, record: logging.LogRecord) -> str:
        number = request_id.get()
        told = f"{record.name} {escaped(record.getMessage())}" + (f" [{number}]" if number else "")
        return f"{told}\n{self.formatException(record.exc_info)}" if record.exc_info else told


class JournalFormatter(HumanFormatter):
    """The priority in front of each line; the journal has the time."""

    def format(self, record: logging.LogRecord) -> str:
        priority = PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in self._text(record).split("\n"))


class JsonFormatter(logging.Formatter):
    """One object for each line."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if number := request_id.get():
            told["request"] = number
        if isinstance(event := getattr(record, "event", None), Event):
            told["event"] = asdict(event)
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


def moment(seconds: float) -> str:
    """A time in UTC, with milliseconds (RFC 3339)."""
    milliseconds = round(seconds * 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000)) + (
        f".{milliseconds % 1000:03d}Z"
    )


def escaped(text: str) -> str:
    """`text` on one line: what cannot be printed as Python writes it in strings."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
