"""The API in this process, with a fake controller behind it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from controller.api.app import create_app
from tests.fakes.controller import FakeController


@pytest.fixture
def controller() -> FakeController:
    return FakeController()


@pytest.fixture
async def api(controller: FakeController) -> AsyncIterator[httpx.AsyncClient]:
    """Alice, at the unix socket."""
    transport = httpx.ASGITransport(create_app(controller), raise_app_exceptions=False)
    alice = {"X-Sluice-User": "alice"}
    async with httpx.AsyncClient(transport=transport, base_url="http://sluice", headers=alice) as client:
        yield client
