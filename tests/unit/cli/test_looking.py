"""What the commands that show something print, for people and for programs."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from controller.cli import pools
from controller.health.settings import Damping, Passive, Reaction
from controller.model import with_pool
from tests.fakes.cli import Cli
from tests.fakes.controller import NOW, FakeController

STATUS = """\
switch     127.0.0.1:9559, device 1: connected, primary, in step
revision   1, 2023-11-14 22:13:20, by root: sluice.yaml
neighbors  1 failed, 1 reachable

VIP  SERVICE             POOL  HEALTHY  MOVING  PACKETS    BYTES
web  10.0.0.100:80/tcp   web    2 of 3      12     123k  98.8 MB
dns  [fd00::100]:53/udp  dns    1 of 1      12     123k  98.8 MB

needs attention
  web/b2 is down: 3 of 3 checks failed: connection refused
  neighbor 10.0.1.13 (servers) does not answer
"""

POOL_LIST = """\
POOL  MODE  VIPS  BUCKETS  MOVING  HEALTHY  CHECK
web   nat   web      1024      12   2 of 3  http /healthz every 1s
dns   nat   dns      1024      12   1 of 1  no checks
"""

POOL_SHOW = """\
pool web: nat, 1024 buckets, 12 of them moving
VIPs web; checks: http /healthz every 1s, rise 2, fall 3

BACKEND  ADDRESS         STATE   HEALTH            WEIGHT  CONNS  PACKETS
b1       10.0.1.11:8080  active  healthy                1   1234    41152
b2       10.0.1.12:8080  active  down                   2   1234    41152
b3       10.0.1.13:8080  drain   healthy, suspect       1   1234    41152

BACKEND  SHARE  WANTED  BUCKETS  WANTED  OLD
b1       33.3%   33.3%      341     341    0
b2       66.7%   66.7%      683     683    0
b3        0.0%    0.0%        0       0   12

b2 is down: 3 of 3 checks failed: connection refused
"""

DNS_SHOW = """\
pool dns: nat, 1024 buckets, 12 of them moving
VIPs dns; no checks

BACKEND  ADDRESS          STATE   HEALTH   WEIGHT  CONNS  PACKETS
d1       [fd00:1::53]:53  active  healthy       1   1234    41152

BACKEND   SHARE  WANTED  BUCKETS  WANTED  OLD
d1       100.0%  100.0%     1024    1024    0

the underlay says: the tunnel to d1 carries 1376 bytes
"""

VIP_LIST = """\
VIP  SERVICE             POOL  PACKETS    BYTES
web  10.0.0.100:80/tcp   web      123k  98.8 MB
dns  [fd00::100]:53/udp  dns      123k  98.8 MB
"""

VIP_SHOW = """\
VIP dns: [fd00::100]:53/udp, served by pool dns
123k packets, 98.8 MB from clients
"""

DROPS = """\
REASON      PACKETS  BYTES
no_service        7  420 B
"""

TABLES = [
    ("status", STATUS),
    ("pool list", POOL_LIST),
    ("pool show web", POOL_SHOW),
    ("pool show dns", DNS_SHOW),
    ("vip list", VIP_LIST),
    ("vip show dns", VIP_SHOW),
    ("drops", DROPS),
]


@pytest.mark.parametrize(("command", "printed"), TABLES)
def test_tables(cli: Cli, command: str, printed: str) -> None:
    result = cli(*command.split())
    assert (result.code, result.out, result.err) == (0, printed, "")
    assert max(map(len, printed.splitlines())) <= 80


PATHS = [
    ("status", "status"),
    ("pool list", "pools"),
    ("pool show web", "pools/web"),
    ("vip list", "vips"),
    ("vip show dns", "vips/dns"),
    ("drops", "drops"),
    ("get", "config"),
]


@pytest.mark.parametrize(("command", "path"), PATHS)
def test_json_is_what_the_api_answers(cli: Cli, socket_path: Path, command: str, path: str) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket_path)), base_url="http://sluice") as api:
        answer = api.get(f"/v1/{path}").json()
    result = cli(*command.split(), "-o", "json")
    assert (result.code, result.json()) == (0, answer)


ROLES_SHOW = """\
pool web: nat, 1024 buckets, 12 of them moving
VIPs web; checks: http /healthz every 1s, rise 2, fall 3
slow start 30s; panic below 25% healthy; tiers join below 2 healthy; damping from 3 to 1, half-life 1m

BACKEND  ADDRESS         TIER      STATE        HEALTH              WEIGHT  CONNS  PACKETS
b1       10.0.1.11:8080  0         active, 40%  healthy                  1   1234    41152
b2       10.0.1.12:8080  0         active       healthy, held back       2   1234    41152
b3       10.0.1.13:8080  1, waits  drain        healthy, suspect         1   1234    41152

BACKEND  SHARE  WANTED  BUCKETS  WANTED  OLD
b1       33.3%   33.3%      341     341    0
b2       66.7%   66.7%      683     683    0
b3        0.0%    0.0%        0       0   12

b2 goes up and down, and is held back: its penalty is 3.5
"""


@pytest.fixture
def with_roles(controller: FakeController, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A pool with everything that decides who serves; `changes` are of its report."""

    def make(**changes: object) -> None:
        pool = controller.config.pool("web")
        b1, b2, b3 = pool.backends
        settings = {"slow_start": 30.0, "panic": 0.25, "tier_minimum": 2, "damping": Damping()}
        backends = (b1, b2, b3.model_copy(update={"tier": 1}))
        changed = pool.model_copy(update=settings | {"backends": backends})
        controller._config = with_pool(controller.config, changed)
        report = controller.report()
        web, *others = report.pools
        b1, b2, b3 = web.backends
        b1 = b1.model_copy(update={"slow_start": 0.4})
        b2 = b2.model_copy(update={"health": "healthy", "held_back": True, "penalty": 3.5})
        web = web.model_copy(update={"backends": (b1, b2, b3)} | changes)
        report = report.model_copy(update={"pools": (web, *others)})
        monkeypatch.setattr(controller, "report", lambda: report)

    return make


def test_a_pool_tells_who_waits_who_begins_slowly_and_who_is_held_back(
    cli: Cli, with_roles: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    with_roles()
    assert cli("pool", "show", "web").out == ROLES_SHOW


STANDING_IN = tuple(
    one.model_copy(update={"state": "removing", "stands_in": True})
    for one in FakeController().report().pools[0].backends[:1]
)


@pytest.mark.parametrize(
    ("changes", "shown", "attention"),
    [
        (
            {"panic": True},
            "in panic: too few are healthy to believe the checks, all backends serve",
            "web is in panic: too few are healthy, all backends serve",
        ),
        (
            {"backends": STANDING_IN, "awaited": ("b7", "b8")},
            "removing, still serves",
            "web: b1 to leave, but still with new connections: none of b7, b8 is up",
        ),
        ({"tier": 1}, "  1  ", "web: backends of tier 1 serve, too few of the lower ones are healthy"),
        ({}, "1, waits", "web/b2 goes up and down, and is held back"),
    ],
)
def test_panic_and_backups_that_serve_need_attention(
    cli: Cli, with_roles: Callable[..., None], changes: dict[str, object], shown: str, attention: str
) -> None:
    with_roles(**changes)
    assert shown in cli("pool", "show", "web").out
    assert attention in cli("status").out


@pytest.mark.parametrize(
    ("b1", "shown", "remark", "attention"),
    [
        ({"signal": "silent"}, "healthy, silent", "b1 is silent to its clients", "web/b1 is silent"),
        (
            {"ejected": NOW + 7.4, "ejected_for": "refusing: none of 20 connections accepted"},
            "healthy, ejected",
            "b1 gets no new connections for 7s more: refusing: none of 20 connections accepted",
            "web/b1 is ejected: refusing: none of 20 connections accepted",
        ),
    ],
)
def test_who_fails_its_clients_needs_attention(
    cli: Cli,
    controller: FakeController,
    with_roles: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    b1: dict[str, object],
    shown: str,
    remark: str,
    attention: str,
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr(pools, "time", lambda: NOW)
    one, *others = controller.report().pools[0].backends
    with_roles(backends=(one.model_copy(update=b1), *others))
    said = cli("pool", "show", "web").out
    assert shown in said
    assert remark in said
    assert attention in cli("status").out


def test_a_pool_in_use_that_serves_nobody_needs_attention(
    cli: Cli, controller: FakeController, with_roles: Callable[..., None]
) -> None:
    """Though all are healthy, if an operator has disabled them."""
    assert "nobody serves" not in cli("status").out
    backends = controller.report().pools[0].backends
    with_roles(backends=tuple(one.model_copy(update={"buckets": 0}) for one in backends))
    assert "  web: nobody serves, new connections are refused\n" in cli("status").out


def test_a_pool_tells_that_it_ejects(cli: Cli, controller: FakeController) -> None:
    web = controller.config.pool("web")
    passive = Passive(silent=Reaction.EJECT)
    controller._config = with_pool(controller.config, web.model_copy(update={"passive": passive}))
    assert "silent backends are ejected" in cli("pool", "show", "web").out.splitlines()


def test_a_backup_is_added(cli: Cli, controller: FakeController) -> None:
    cli("backend", "add", "web", "b4", "10.0.1.14:8080", "--tier", "1")
    assert controller.config.pool("web").backend("b4").tier == 1
