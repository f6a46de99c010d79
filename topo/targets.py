"""The two switches that run the same program: ours (`embedded`) and BMv2's (`bmv2`)."""

import shutil
import sys
from pathlib import Path

from topo.errors import StartFailed

TARGETS = ("auto", "bmv2", "embedded")
BMV2 = "simple_switch_grpc"
SLUICE = Path(sys.executable).parent / "sluice"
"""The project's command, of the environment that runs us."""


def resolve_target(target: str) -> str:
    """`auto` is the embedded switch. Raises StartFailed when BMv2 is asked for and absent."""
    if target not in TARGETS:
        raise StartFailed(f"there is no switch target {target!r}; there are {', '.join(TARGETS)}")
    if target == "bmv2" and shutil.which(BMV2) is None:
        raise StartFailed(f"target bmv2 needs {BMV2} on PATH; --target embedded runs everywhere")
    return "embedded" if target == "auto" else target


def program(target: str) -> list[str]:
    return [BMV2] if target == "bmv2" else [str(SLUICE), "switch"]
