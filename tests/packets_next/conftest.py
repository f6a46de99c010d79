"""One BMv2 for all packet tests; each test finds its tables empty."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bmv2 import Bmv2


@pytest.fixture(scope="session")
def running() -> Iterator[Bmv2]:
    with Bmv2() as switch:
        yield switch


@pytest.fixture
def switch(running: Bmv2) -> Iterator[Bmv2]:
    running.collect()
    running.punted()
    yield running
    running.clear()
