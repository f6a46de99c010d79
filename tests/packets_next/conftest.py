"""Both switches for all packet tests; each test finds its tables empty."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bmv2 import SWITCH, Bmv2
from embedded import Embedded


@pytest.fixture(scope="session", params=[Bmv2, Embedded], ids=lambda kind: kind.name)
def switch_type(request: pytest.FixtureRequest) -> type[Bmv2]:
    """Which switch."""
    if request.param is Bmv2 and shutil.which(SWITCH) is None:
        pytest.skip(f"{SWITCH} is not on PATH")
    return request.param


@pytest.fixture(scope="session")
def running(switch_type: type[Bmv2]) -> Iterator[Bmv2]:
    with switch_type() as switch:
        yield switch


@pytest.fixture
def switch(running: Bmv2) -> Iterator[Bmv2]:
    running.collect()
    running.punted()
    yield running
    running.clear()
