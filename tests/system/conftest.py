"""Labs for the system tests: a whole network with real servers, in a namespace named after this process.

Every lab is taken down again, and each time nothing of it may be left. The tests need root (`pytestmark`).
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from topo import processes
from topo.lab import RUN, Lab
from topo.namespace import NAMED

EMBEDDED = pytest.param("embedded", id="embedded")
BMV2 = pytest.param("bmv2", id="bmv2", marks=pytest.mark.bmv2)
BOTH_TARGETS = (EMBEDDED, BMV2)

WEB = Path(__file__).parent / "web.yaml"
WEB_BACKENDS = ("b1", "b2", "b3", "b4")

_numbers = itertools.count()


def fresh_name() -> str:
    return f"sluice-t{os.getpid()}-{next(_numbers)}"


@contextmanager
def running_lab(
    target: str,
    config: Path,
    servers: Sequence[str] = WEB_BACKENDS,
    server_port: int = 8080,
) -> Iterator[Lab]:
    """A lab while the block lasts; afterwards nothing of it may be left."""
    name = fresh_name()
    lab = Lab.start(name, target=target, config=config, servers=servers, server_port=server_port)
    try:
        yield lab
    finally:
        lab.down()
    assert_gone(lab)


def assert_gone(lab: Lab) -> None:
    assert not (NAMED / lab.name).exists(), "the namespace is left"
    assert not (RUN / lab.name).exists(), "the run directory is left"
    assert list(processes.with_token(lab.record.token)) == [], "processes are left"


@pytest.fixture(scope="module", params=BOTH_TARGETS)
def web(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Four web servers behind one VIP, and what else `web.yaml` says; shared by the tests of a module."""
    with running_lab(request.param, WEB) as lab:
        yield lab
