"""The controller against real switches, over loopback gRPC: the embedded one always, BMv2 where it is."""

from collections.abc import Iterator

import pytest

from tests.integration.switches import BMV2, EMBEDDED, SwitchProcess, running


@pytest.fixture(params=[EMBEDDED, pytest.param(BMV2, marks=pytest.mark.bmv2)])
def switch(request: pytest.FixtureRequest) -> Iterator[SwitchProcess]:
    """A switch that runs and has no program yet."""
    with running(request.param) as process:
        yield process
