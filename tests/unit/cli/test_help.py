"""Every command explains itself."""

import re
import subprocess
import sys

import pytest

from controller.cli.main import main


def test_every_command_explains_itself_and_ends_with_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands are found the way a user finds them: in the help."""
    monkeypatch.setenv("COLUMNS", "80")

    def help_of(*command: str) -> str:
        assert main([*command, "--help"]) == 0
        return capsys.readouterr().out

    def listed(text: str) -> list[str]:
        return re.findall(r"^  (\w+) ", text.partition("Commands:\n")[2].partition("\n\n")[0], re.MULTILINE)

    explained = set()
    for noun in listed(help_of()):
        for command in [(noun, verb) for verb in listed(help_of(noun))] or [(noun,)]:
            text = help_of(*command)
            example = text.strip().splitlines()[-1].strip()
            assert example.startswith(f"Example: sluice {' '.join(command)}")
            assert max(map(len, text.splitlines())) <= 80
            explained.add(" ".join(command))
    assert explained == {
        *("daemon", "status", "drops", "apply", "get", "history", "diff", "rollback", "events"),
        "explain",
        "switch",
        "doctor",
        "top",
        *("vip list", "vip show", "vip add", "vip remove", "pool list", "pool show"),
        *("backend add", "backend remove", "backend drain", "backend enable", "backend disable"),
        "backend weight",
        "backend cut",
        "backend undrain",
        *("api openapi", "api token"),
    }


def test_a_command_does_not_wait_for_what_only_the_daemon_needs() -> None:
    """Numerics, gRPC and P4Runtime take longer to load than most commands to run."""
    code = "import sys, controller.cli.main; print(*{'numpy', 'grpc', 'finsy'} & sys.modules.keys())"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
