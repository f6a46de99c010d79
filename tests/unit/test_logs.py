"""The log: its forms, that nobody makes lines of his own in it, and that no secret gets into it."""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from controller import logs
from controller.api.access import Access
from controller.api.app import create_app
from controller.api.request_id import begin
from controller.api.tokens import Tokens, digest, new_token
from controller.events import EventLog, Kind, Severity
from tests.fakes.controller import NOW, FakeController

TIME = "2023-11-14T22:13:20.000Z"


@pytest.fixture
def loggers() -> Iterator[None]:
    """As they were, afterwards."""
    root, quiet = logging.getLogger(), [logging.getLogger(name) for name in (*logs.QUIET, "httpx")]
    handlers, levels = root.handlers[:], [one.level for one in (root, *quiet)]
    yield
    root.handlers[:] = handlers
    for one, level in zip((root, *quiet), levels, strict=True):
        one.setLevel(level)


def record(name: str, text: str, level: int = logging.INFO) -> logging.LogRecord:
    made = logging.LogRecord(name, level, "", 0, text, None, None)
    made.created = NOW
    return made


def test_for_people() -> None:
    told = logs.HumanFormatter().format(record("sluice.events", "web/b1: down", logging.WARNING))
    assert told == f"{TIME} WARNING sluice.events web/b1: down"


def test_for_the_journal_with_priorities_on_every_line() -> None:
    formatter = logs.JournalFormatter()
    assert formatter.format(record("sluice.api", "hello")) == "<6>sluice.api hello"
    failed = record("sluice.api", "oops", logging.ERROR)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        failed.exc_info = sys.exc_info()
    told = formatter.format(failed).split("\n")
    assert told[0] == "<3>sluice.api oops"
    assert len(told) > 4
    assert all(line.startswith("<3>") for line in told)


@pytest.mark.parametrize("name", ["journal", "file"])
def test_the_journal_is_known_by_what_systemd_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    with (tmp_path / name).open("w") as stream, (tmp_path / "journal").open("a") as journal:
        about = Path(journal.name).stat()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("JOURNAL_STREAM", f"{about.st_dev}:{about.st_ino}")
        formatter = logs.formatter_of("human")
        assert isinstance(formatter, logs.JournalFormatter) == (name == "journal")
        assert isinstance(logs.formatter_of("json"), logs.JsonFormatter)


def test_json_has_the_whole_event_and_the_request() -> None:
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(logs.JsonFormatter().format(record))
    logger = logging.getLogger("sluice.events")
    logger.addHandler(handler)
    try:

        async def within_a_request() -> None:
            begin("mine-7")
            log = EventLog(clock=lambda: NOW)
            log.record(Kind.HEALTH, "web/b1", "down", "refused", Severity.WARNING)

        asyncio.run(within_a_request())
    finally:
        logger.removeHandler(handler)
    (line,) = told
    found = json.loads(line)
    assert (found["level"], found["logger"]) == ("warning", "sluice.events")
    assert (found["message"], found["request"]) == ("web/b1: down (refused)", "mine-7")
    assert found["event"] == {
        "number": 1,
        "time": NOW,
        "kind": "health",
        "severity": "warning",
        "subject": "web/b1",
        "text": "down",
        "cause": "refused",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [("a\nb", "a\\nb"), ("a\x1b[31mb", "a\\x1b[31mb"), ("é日本", "é日本"), ("a\u2028b", "a\\u2028b")],
)
def test_nobody_makes_lines_of_his_own(text: str, told: str) -> None:
    assert logs.HumanFormatter().format(record("x", text)) == f"{TIME} INFO    x {told}"
    assert "\n" not in logs.JsonFormatter().format(record("x", text))


@pytest.mark.parametrize("form", ["human", "json"])
async def test_no_secret_gets_into_logs_events_metrics_or_answers(
    loggers: None, capfd: pytest.CaptureFixture[str], tmp_path: Path, form: str
) -> None:
    """A token is planted wherever a client may put one; what is told afterwards is searched for it."""
    known, wrong, in_query = new_token(), new_token(), new_token()
    file = tmp_path / "tokens"
    file.write_text(f"alice write {digest(known)}\n")
    file.chmod(0o600)
    controller = FakeController()
    app = create_app(controller, Access(Tokens.load(file)))
    logs.to_stderr("debug", form)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the client's own
    told = ""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://sluice") as client:
        for token in (known, wrong):
            headers = {"Authorization": f"Bearer {token}"}
            for failure in (None, ZeroDivisionError(), OSError("disk")):
                controller.failure = failure
                for method, path, body in (
                    ("GET", f"/v1/status?token={in_query}", None),
                    ("GET", f"/v1/events?after={in_query}", None),
                    ("PATCH", "/v1/pools/web/backends/b1", {"weight": 5}),
                    ("PATCH", "/v1/pools/web/backends/zz", {"weight": 5}),
                    ("GET", "/metrics", None),
                    ("GET", "/nothing", None),
                ):
                    answer = await client.request(method, path, json=body, headers=headers)
                    told += answer.text.replace(in_query, "") if "after=" in path else answer.text
    log = capfd.readouterr().err
    assert "backend web/b1: weight 5" in log
    assert "GET /v1/status: 500 in" in log
    told += log + str(controller.events.since()) + str(controller.changes)
    for token in (known, wrong, in_query):
        assert token not in told
        assert digest(token) not in told
