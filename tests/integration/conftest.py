"""The controller against real switches, over loopback gRPC: the embedded one always, BMv2 where it is."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from controller.health.asker import Asker
from tests.integration.switches import BMV2, EMBEDDED, SwitchProcess, running


@pytest.fixture(params=[EMBEDDED, pytest.param(BMV2, marks=pytest.mark.bmv2)])
def switch(request: pytest.FixtureRequest) -> Iterator[SwitchProcess]:
    """A switch that runs and has no program yet."""
    with running(request.param) as process:
        yield process


@pytest.fixture
async def asker(tmp_path: Path) -> AsyncIterator[Asker]:
    """Makes checks. Programs are looked for in the test's own folder."""
    with Asker(tmp_path) as asker:
        yield asker
