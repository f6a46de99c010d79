"""Checks by programs: what they are told, what is made of their end, and that nothing of them is left."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from controller.health.asker import Asker
from controller.health.checks import CheckFailed, CheckNotMade
from controller.health.settings import ExecCheck
from tests.integration.checking import PATIENT, program, runs, watch


async def test_exec_passes_what_it_is_given_and_no_shell_reads_it(asker: Asker, tmp_path: Path) -> None:
    check = program(tmp_path, 'echo "$1|$2|$SLUICE_POOL|$SLUICE_BACKEND|$SLUICE_ADDRESS|$SLUICE_PORT"')
    said = await asker.ask(watch(check, 80))
    assert said == "$HOME|two words|web|b1|127.0.0.1|80"


async def test_exec_hears_the_name_of_one_that_was_removed_without_its_number(
    asker: Asker, tmp_path: Path
) -> None:
    check = program(tmp_path, 'echo "$SLUICE_BACKEND"')
    assert await asker.ask(replace(watch(check), backend="b1#7")) == "b1"


async def test_exec_sees_nothing_of_our_environment(
    asker: Asker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "swordfish")
    check = program(tmp_path, "env | sort | cut -d= -f1 | tr '\\n' ' '")
    said = await asker.ask(watch(check, source="127.0.0.7"))
    assert said == "PATH PWD SLUICE_ADDRESS SLUICE_BACKEND SLUICE_POOL SLUICE_SOURCE"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo first; echo no primary >&2; exit 3", "check ended with status 3: no primary"),
        ("exit 1", "check ended with status 1"),
        ("kill -SEGV $$", "check ended with SIGSEGV"),
        ("yes | head -c 300000; echo; echo enough; exit 1", "check ended with status 1: enough"),
        ("printf 'a\\033[31mb\\n'; exit 1", r"check ended with status 1: a\?\[31mb"),
    ],
)
async def test_exec_fails_with_its_last_words(asker: Asker, tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(CheckFailed, match=f"^{reason}$"):
        await asker.ask(watch(program(tmp_path, text)))


async def test_exec_in_time_does_not_wait_for_what_it_left_behind(asker: Asker, tmp_path: Path) -> None:
    check = program(tmp_path, f"sleep 60 & echo $! > {tmp_path}/left; echo fine")
    try:
        assert await asker.ask(watch(check)) == "fine"
    finally:
        os.kill(int((tmp_path / "left").read_text()), 9)


async def test_exec_that_takes_too_long_ends_with_all_that_it_started(asker: Asker, tmp_path: Path) -> None:
    check = program(tmp_path, f"sleep 60 & echo $! $$ > {tmp_path}/started; wait")
    slow = check.model_copy(update={"timeout": 1.0})
    with pytest.raises(CheckFailed, match=r"^no answer within 1000 ms$"):
        await asker.ask(watch(slow))
    for number in (tmp_path / "started").read_text().split():
        async with asyncio.timeout(PATIENT):
            while runs(int(number)):
                await asyncio.sleep(0.01)


async def test_exec_that_cannot_be_run_says_nothing_about_the_backend(asker: Asker, tmp_path: Path) -> None:
    check = ExecCheck(type="exec", command=("nowhere",))
    with pytest.raises(CheckNotMade, match=f"^cannot run {tmp_path}/nowhere: no such file or directory$"):
        await asker.ask(watch(check))
    (tmp_path / "nowhere").write_text("#!/bin/sh\n")
    with pytest.raises(CheckNotMade, match=f"^cannot run {tmp_path}/nowhere: permission denied$"):
        await asker.ask(watch(check))
