"""The operator's prompt: a shell with `sluice` and a few helpers on PATH, while everything runs."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from topo.lab import Lab
from topo.targets import SLUICE

HELPERS = {
    "on": "on HOST COMMAND...        run a command on a host: on c1 ping 10.0.0.100",
    "server": "server kill|start HOST    a backend's web server: server kill b2",
    "switch": "switch kill|start SWITCH  a switch, which comes back empty: switch kill s1",
    "controller": "controller kill|start     the switch goes on without it",
    "spread": "spread SWITCH...          of several, those that the router uses: spread s1",
    "requests": "requests [COUNT]          send requests from c1 and count who answers",
    "watch-traffic": "watch-traffic             clients and the live table, until Ctrl-C",
}


def open_prompt(lab: Lab) -> None:
    """Run an interactive shell until the operator leaves it."""
    folder = _write_helpers(lab)
    startup = lab.run_dir / "prompt.bash"
    settings = (
        f"PATH={shlex.quote(str(folder))}:$PATH\nPS1='{lab.name}> '\nunset PROMPT_COMMAND\n"
        'eval "$(_SLUICE_COMPLETE=source_bash sluice)"\n'
    )
    startup.write_text(f"{settings}cat <<'HINTS'\n{_hints()}\nHINTS\n")
    environment = {**os.environ, **lab.environment}
    subprocess.run(["bash", "--noprofile", "--rcfile", str(startup), "-i"], env=environment)


def how_to_talk_to(lab: Lab) -> str:
    """For those who have no terminal: what to type in another one."""
    folder = _write_helpers(lab)
    return (
        f"It runs in the background. To talk to it:\n"
        f"    export PATH={folder}:$PATH SLUICE_SOCKET={lab.socket}\n"
        f"    sluice status\n"
        f"    on c1 ping -c 3 10.0.0.100\n"
        f"    server kill b2; sluice pool show web\n"
        f"    requests 200\n"
        f"`make down{_name_option(lab)}` ends it. Logs: {lab.logs}"
    )


def _hints() -> str:
    lines = [
        "",
        "Everything runs; `exit` ends it. Try `sluice pool show web`; Tab completes.",
        "Besides `sluice` there are:",
        *(f"    {hint}" for hint in HELPERS.values()),
        "",
    ]
    return "\n".join(lines)


def _name_option(lab: Lab) -> str:
    return "" if lab.name == "sluice" else f" NAME={lab.name}"


def _write_helpers(lab: Lab) -> Path:
    folder = lab.run_dir / "bin"
    folder.mkdir(exist_ok=True)
    scripts = {
        name: f'exec {shlex.join([sys.executable, "-m", "topo", "--name", lab.name, name])} "$@"'
        for name in HELPERS
    }
    # The daemon's socket is everybody's; the switch itself listens in the lab's namespace.
    sluice = f'{shlex.quote(str(SLUICE))} "$@"'
    scripts["sluice"] = f'[ "$1" = switch ] && exec ip netns exec {lab.name} {sluice}\nexec {sluice}'
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder
