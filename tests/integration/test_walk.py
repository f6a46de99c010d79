"""A newcomer types what README and docs/cli.md show: it works, and prints what is shown."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from controller.cli.main import app
from tests.fakes.cli import read_until
from tests.integration.walk import DOCUMENT, PAGE, ROOT, World, normal, walked

SECTION = "## The CLI in a dozen lines"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def test_what_the_page_shows_is_what_the_commands_print(world: World) -> None:
    page = PAGE.read_text()
    printed = "\n".join(walked(page, world)) + "\n"
    assert normal(printed).splitlines() == normal(page).splitlines()


def commands_of_readme() -> list[str]:
    section = (ROOT / "README.md").read_text().partition(f"{SECTION}\n")[2].partition("\n## ")[0]
    lines = [
        line.partition(" #")[0].strip() for line in section.splitlines() if line.startswith("    sluice")
    ]
    return [command.strip() for line in lines for command in line.split(";")]


def test_the_dozen_lines_of_the_readme(world: World) -> None:
    commands = commands_of_readme()
    assert len(commands) >= 12
    (world.folder / "sluice.yaml").write_text(DOCUMENT % world.config.switch.address)
    for weight in range(2, 8):  # there is a past, of a few revisions
        world.run(f"sluice backend weight web b2 {weight}")
    for command in commands:
        if "--follow" in command or "--watch" in command:
            followed(command.split()[1:])
            continue
        code, printed = world.run(command)
        allowed = (0, 1) if command == "sluice doctor" else (0,)  # this switch has no ports, which it tells
        assert code in allowed and printed, f"{command} ended with {code}: {printed}"


def followed(arguments: list[str]) -> None:
    """A command that goes on until Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sluice.main", *arguments], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout
    read_until(process.stdout.fileno(), b"\n")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


Command = tuple[str, list[list[str]]]
"""A name such as `pool show`, and the names of each option."""


def every_command() -> Iterator[Command]:
    def of(command: Any, name: str) -> Iterator[Command]:
        options = [one.opts for one in command.params if one.opts[0].startswith("-")]
        inner: dict[str, Any] = getattr(command, "commands", {})
        if not inner:
            yield name, options
        for verb, one in inner.items():
            yield from of(one, f"{name} {verb}".strip())

    yield from of(typer.main.get_command(app), "")


def test_every_command_and_option_is_on_the_page() -> None:
    """A command in the table of commands, by its noun if it has one; an option by any of its names."""
    page = PAGE.read_text()
    rows = re.findall(r"^\| (`sluice .*?) \|", page, re.MULTILINE)
    missing = []
    for name, options in every_command():
        noun, _, verb = name.partition(" ")
        fitting = [row for row in rows if f"`sluice {noun} " in row] if verb else rows
        if not any(re.search(rf"\b{verb or noun}\b", row) for row in fitting):
            missing.append(name)
        missing += [f"{name} {'/'.join(one)}" for one in options if not any(text in page for text in one)]
    assert missing == []
