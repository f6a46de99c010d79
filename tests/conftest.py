"""What all tests share: our own commands on PATH, and skips, with their reason, of what is missing here."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from switch import grpc_core
from topo import preflight
from topo.lab import PROJECT
from topo.targets import BMV2

P4C = "p4c-bm2-ss"

# Libraries keep their caches where `make clean` finds them.
os.environ.setdefault("XDG_CACHE_HOME", str(PROJECT / "build" / "cache"))

# The switch in the tests' own process is served as the one that is a process is.
os.environ.update(grpc_core.POLLING)

# How long an example takes says how busy the machine is, and nothing about what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# In the background of some shells Ctrl-C is ignored, also by all that is started there. Tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests call the project's own commands by name; they are those of the environment that runs the tests.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def _no_root() -> str:
    problem = preflight.first_problem("rights") or preflight.first_problem("tools")
    return "" if problem is None else f"{problem.what} ({problem.remedy})"


def _not_on_path(program: str) -> str:
    return "" if shutil.which(program) else f"{program} is not on PATH"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips by marker: each condition is looked at once, and only if a test asks for it."""
    conditions = {
        "root": _no_root,
        "bmv2": lambda: _not_on_path(BMV2),
        "p4c": lambda: _not_on_path(P4C),
        "soak": lambda: "" if "SLUICE_SOAK" in os.environ else "takes long: `make soak` runs it",
    }
    for name, condition in conditions.items():
        marked = [item for item in items if item.get_closest_marker(name)]
        reason = condition() if marked else ""
        for item in marked if reason else []:
            item.add_marker(pytest.mark.skip(reason=reason))
