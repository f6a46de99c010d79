"""Tokens and roles: who gets in by TCP, and what they may do."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from controller.api.access import Access
from controller.api.app import create_app, describe
from controller.api.schemas import Refusal
from controller.api.tokens import Caller, Role, Tokens, digest, new_token
from controller.errors import InvalidConfig
from tests.fakes.controller import FakeController

# The same in every process of tests:
READER, WRITER, STANDBY = ("sluice_" + letter * 43 for letter in "rws")
TOKENS = f"""\
# who        may    with

prometheus   read   {digest(READER)}
alice        write  {digest(WRITER)}  # until May
lb2          peer   {digest(STANDBY)}
"""


def token_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    file = folder / "tokens"
    file.write_text(text)
    file.chmod(mode)
    return file


@pytest.fixture
async def remote(controller: FakeController, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    access = Access(Tokens.load(token_file(tmp_path, TOKENS)))
    transport = httpx.ASGITransport(create_app(controller, access))
    async with httpx.AsyncClient(transport=transport, base_url="http://sluice") as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_tokens_are_found_by_what_they_are_and_kept_as_digests(tmp_path: Path) -> None:
    tokens = Tokens.load(token_file(tmp_path, TOKENS))
    assert tokens.caller(READER) == Caller("prometheus", Role.READ)
    assert tokens.caller(WRITER) == Caller("alice", Role.WRITE)
    assert tokens.caller(WRITER[:-1]) is None
    assert tokens.caller(digest(WRITER)) is None
    assert WRITER not in TOKENS


def test_no_two_tokens_are_alike() -> None:
    made = {new_token() for _ in range(1000)}
    assert len(made) == 1000
    assert min(map(len, made)) >= 43


# What it shows, the file, its mode, what is said
BAD_FILES: list[tuple[str, str, int, str]] = [
    ("others may read it", TOKENS, 0o640, "has mode 0640, so others may read or change it: chmod 600 "),
    (
        "nobody is in it",
        "# nobody\n",
        0o600,
        "has no token; a line is NAME, one of read, write and peer, and sha256:DIGEST",
    ),
    (
        "a word too many",
        f"a read {digest('x')} y\n",
        0o600,
        "line 1: 4 words; a line is NAME, one of read, write and peer",
    ),
    (
        "a role that is none",
        f"\na admin {digest('x')}\n",
        0o600,
        "line 2: the role must be read, write or peer",
    ),
    ("a token itself", f"a read {READER}\n", 0o600, "line 1: the third word is no digest (tokens themselves"),
    (
        "a name with a slash",
        f"a/b read {digest('x')}\n",
        0o600,
        "line 1: the name must be at most 63 letters",
    ),
    (
        "a name twice",
        f"a read {digest('x')}\na write {digest('y')}\n",
        0o600,
        "line 2: a is in line 1 already",
    ),
    (
        "a token twice",
        f"a read {digest('x')}\nb write {digest('x')}\n",
        0o600,
        "line 2: the same token is in the file twice",
    ),
]


@pytest.mark.parametrize(("shows", "text", "mode", "said"), BAD_FILES, ids=[bad[0] for bad in BAD_FILES])
def test_a_file_that_is_not_right(tmp_path: Path, shows: str, text: str, mode: int, said: str) -> None:
    file = token_file(tmp_path, text, mode)
    with pytest.raises(InvalidConfig) as refused:
        Tokens.load(file)
    assert str(refused.value).startswith(f"{file}: {said}"), shows
    assert READER not in str(refused.value)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "a token is needed here"),
        ({"Authorization": f"Basic {WRITER}"}, "a token is needed here"),
        (bearer(""), "a token is needed here"),
        (bearer("sluice_" + "t" * 43), "this token is not known here"),
        (bearer(WRITER + "x"), "this token is not known here"),
    ],
)
async def test_nothing_without_a_token_that_is_known(
    remote: httpx.AsyncClient, headers: dict[str, str], said: str
) -> None:
    for path in ("/v1/status", "/v1/config", "/metrics", "/v1/openapi.json", "/nothing"):
        answer = await remote.get(path, headers=headers)
        assert answer.status_code == 401
        assert Refusal.model_validate(answer.json()).error == said
        assert answer.headers["www-authenticate"] == 'Bearer realm="sluice"'


async def test_a_token_for_reading_looks_and_changes_nothing(
    remote: httpx.AsyncClient, controller: FakeController
) -> None:
    before, asked = controller.config, 0
    for path, methods in describe()["paths"].items():
        for method in methods.keys() - {"get"}:
            url = path.format(pool="web", backend="b1", vip="web", number=1)
            answer = await remote.request(method, url, headers=bearer(READER))
            assert answer.status_code == 403
            assert Refusal.model_validate(answer.json()) == Refusal(
                error="the token of prometheus is for reading",
                where=f"{method.upper()} {url}",
                hint="a change needs a token with the role write",
            )
            asked += 1
    assert asked == 8
    assert controller.config is before
    assert controller.changes == []
    assert (await remote.get("/v1/status", headers=bearer(READER))).status_code == 200
    assert (await remote.get("/metrics", headers=bearer(READER))).status_code == 200


@pytest.mark.parametrize(
    ("token", "method", "path", "status"),
    [
        (STANDBY, "GET", "/v1/replica", 404),  # from the route: this one has no peer
        (WRITER, "GET", "/v1/replica", 404),
        (READER, "GET", "/v1/replica", 403),
        (STANDBY, "POST", "/v1/replica", 403),
        (STANDBY, "GET", "/v1/status", 403),
        (STANDBY, "GET", "/metrics", 403),
        (STANDBY, "DELETE", "/v1/vips/web", 403),
    ],
)
async def test_the_store_is_for_the_other_one_of_a_pair_and_nothing_else_is(
    remote: httpx.AsyncClient, token: str, method: str, path: str, status: int
) -> None:
    answer = await remote.request(method, path, headers=bearer(token))
    assert answer.status_code == status
    purpose = "reading" if token is READER else "the other controller of a pair"
    assert status == 404 or f"is for {purpose}" in Refusal.model_validate(answer.json()).error


async def test_who_changed_it_is_whose_token_it_was(
    remote: httpx.AsyncClient, controller: FakeController
) -> None:
    headers = bearer(WRITER) | {"X-Sluice-User": "root"}
    answer = await remote.patch("/v1/pools/web/backends/b1", json={"weight": 5}, headers=headers)
    assert answer.status_code == 200
    assert controller.changes == [("backend web/b1: weight 5", "alice", True)]


async def test_a_stranger_is_refused_before_the_body_is_read(remote: httpx.AsyncClient) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield bytes(1000)

    assert (await remote.put("/v1/config", content=body())).status_code == 401
    assert sent == 0


async def test_names_at_the_socket_have_no_control_characters(
    api: httpx.AsyncClient, controller: FakeController
) -> None:
    answer = await api.patch(
        "/v1/pools/web/backends/b1", json={"weight": 5}, headers={"X-Sluice-User": "mallory%0Aalice"}
    )
    assert answer.status_code == 422
    assert Refusal.model_validate(answer.json()).error == "must be a name, without control characters"
    assert controller.changes == []
