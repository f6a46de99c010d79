"""Requests made at random from the API's own description, right and wrong ones, to a real socket.

Whatever is asked, the answer is one that the description has, and never the server's fault; and what is
refused leaves everything as it was. SLUICE_FUZZ=seconds (make fuzz) makes it long; without it each operation
gets a few.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from controller.api.app import create_app, describe
from controller.api.serving import Server
from controller.config import parse
from controller.controller import Controller
from controller.daemon import P4INFO, PIPELINE
from controller.store import SqliteStore
from controller.wire import SwitchTarget
from tests.fakes.controller import DOCUMENT
from tests.fakes.serving import serving_at

SECONDS = float(os.environ.get("SLUICE_FUZZ", "0"))
SEED = int(os.environ.get("SLUICE_FUZZ_SEED", "1"))
REQUESTS = 12
"""For each operation, where there is no time for more."""

PATIENCE = 20.0

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
"""Not that whatever fits the description is taken: more is asked of a configuration than a schema can say."""

OPERATIONS = schemathesis.openapi.from_dict(describe())
NAMES = [
    operation["operationId"] for methods in describe()["paths"].values() for operation in methods.values()
]


class Served:
    """A controller without a switch, whose API listens on a port of the loopback interface."""

    def __init__(self) -> None:
        target = SwitchTarget("127.0.0.1:1")
        store = SqliteStore(":memory:")
        config = parse(DOCUMENT)
        self.controller = Controller(config, store, target=target, p4info=P4INFO, pipeline=PIPELINE)
        self.controller.events.close()  # so that those who follow the events come to an end
        self.url = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        server = Server(create_app(self.controller))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.listen()
            self.url = "http://{}:{}".format(*listener.getsockname())
            with serving_at(listener, server):
                yield

    @property
    def state(self) -> tuple[Any, ...]:
        return self.controller.revision, self.controller.config


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served()
    with served.running():
        yield served


@pytest.mark.parametrize("name", NAMES)
def test_any_request_is_answered_as_described_and_what_is_refused_changes_nothing(
    served: Served, name: str
) -> None:
    operation = OPERATIONS.find_operation_by_id(name)
    answered: set[int] = set()
    effort = settings(
        max_examples=REQUESTS,
        deadline=None,
        database=None,
        derandomize=not SECONDS,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )

    @effort
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        before = served.state
        answer = case.call(base_url=served.url, timeout=PATIENCE)
        answered.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code >= 400:
            assert served.state == before

    until = time.monotonic() + SECONDS / len(NAMES)
    ask()
    while time.monotonic() < until:
        ask()
    assert answered
