"""What the commands that show something print, for people and for programs."""

from pathlib import Path

import httpx
import pytest

from tests.fakes.cli import Cli

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
