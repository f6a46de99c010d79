"""The log of events: order, bound, followers."""

import asyncio
import logging

import pytest

from controller.events import Event, EventLog, Kind, Severity


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events]


def record(log: EventLog, *names: str) -> None:
    for name in names:
        log.record(Kind.CHANGE, "web", name)


def test_events_are_numbered_and_timed() -> None:
    log = EventLog(clock=lambda: 1700000000.5)
    event = log.record(Kind.HEALTH, "web/b1", "down", "refused", Severity.WARNING)
    assert event == Event(1, 1700000000.5, Kind.HEALTH, Severity.WARNING, "web/b1", "down", "refused")
    assert log.record(Kind.HEALTH, "web/b1", "up").number == log.last == 2


def test_the_oldest_events_give_way_and_leave_a_visible_gap() -> None:
    log = EventLog(capacity=2)
    record(log, "one", "two", "three")
    assert texts(log.since(0)) == ["two", "three"]
    assert log.since(1)[0].number == 2
    assert texts(log.since(2)) == ["three"]
    assert log.since(3) == []


def test_a_number_of_an_earlier_daemon_gets_everything() -> None:
    log = EventLog()
    record(log, "one", "two")
    assert texts(log.since(900)) == ["one", "two"]


async def test_followers_get_what_was_and_what_comes() -> None:
    log = EventLog()
    record(log, "one", "two")

    async def read(after: int) -> list[str]:
        return [event.text async for event in log.follow(after)]

    readers = [asyncio.create_task(read(0)), asyncio.create_task(read(1)), asyncio.create_task(read(2))]
    await asyncio.sleep(0)
    record(log, "three")
    await asyncio.sleep(0)
    record(log, "four", "five")
    log.close()
    assert await asyncio.gather(*readers) == [
        ["one", "two", "three", "four", "five"],
        ["two", "three", "four", "five"],
        ["three", "four", "five"],
    ]


async def test_a_slow_follower_delays_nobody_and_misses_only_what_gave_way() -> None:
    log = EventLog(capacity=2)
    record(log, "one")
    follower = log.follow()
    assert (await anext(follower)).text == "one"
    record(log, "two", "three", "four", "five")
    assert [(await anext(follower)).number, (await anext(follower)).number] == [4, 5]


async def test_a_closed_log_ends_followers_that_come_later() -> None:
    log = EventLog()
    record(log, "one")
    log.close()
    assert [event.text async for event in log.follow()] == ["one"]


def test_each_event_is_logged_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="sluice.events"):
        EventLog().record(Kind.HEALTH, "web/b1", "down", "3 of 3 checks failed", Severity.WARNING)
        EventLog().record(Kind.CHANGE, "web", "backend b5 added")
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "web/b1: down (3 of 3 checks failed)"),
        ("INFO", "web: backend b5 added"),
    ]
