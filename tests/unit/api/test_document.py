"""The OpenAPI document: that it says all, that its examples work, that docs/api.md agrees with it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.api.app import describe
from controller.api.schemas import Refusal
from tests.fakes.controller import FakeController

DOCUMENT = describe()
PAGE = Path(__file__).resolve().parents[3] / "docs" / "api.md"


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


@pytest.mark.parametrize(("method", "path", "operation"), list(operations()))
def test_every_operation_says_what_it_does_takes_and_answers(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    assert operation["summary"] and operation["description"] and operation["operationId"]
    (tag,) = operation["tags"]
    assert tag in [one["name"] for one in DOCUMENT["tags"]]
    for parameter in operation.get("parameters", []):
        told = "description" in parameter or "description" in parameter["schema"]
        assert told or "enum" in str(parameter["schema"]) or "$ref" in parameter["schema"], parameter["name"]
    assert {"401"} <= operation["responses"].keys()
    if method != "GET":
        assert {"403", "409", "412", "413", "422", "503"} <= operation["responses"].keys()
    for status, answer in operation["responses"].items():
        assert answer["description"]
        assert "X-Request-Id" in answer["headers"]
        if int(status) >= 400:
            content = answer["content"]["application/json"]
            assert content.keys() == {"schema", "example"}
            assert content["schema"] == {"$ref": "#/components/schemas/Refusal"}
            assert Refusal.model_validate(content["example"]).error


def test_names_of_operations_are_unique() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names) == 26


def examples() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for method, path, operation in operations():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for example in content.get("examples", {}).values():
            yield method, path, example["value"]


@pytest.mark.parametrize(("method", "path", "body"), list(examples()))
async def test_its_examples_work(
    api: httpx.AsyncClient, controller: FakeController, method: str, path: str, body: dict[str, Any]
) -> None:
    answer = await api.request(method, path.format(pool="web", backend="b1"), json=body)
    assert answer.is_success, answer.text
    assert len(controller.changes) == 1


async def test_it_is_served_as_it_is_printed(api: httpx.AsyncClient) -> None:
    assert (await api.get("/v1/openapi.json")).json() == DOCUMENT


def test_the_page_lists_exactly_these_operations() -> None:
    listed = set(re.findall(r"^\| `(GET|PUT|POST|PATCH|DELETE) (\S+)`", PAGE.read_text(), re.MULTILINE))
    assert listed == {(method, path) for method, path, _ in operations()}
