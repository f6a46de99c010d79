"""p4runtime-shell on a running switch, beside its controller: it looks, by the operator's names.

    .venv-p4sh/bin/python topo/p4sh.py --grpc-addr 127.0.0.1:9559 --socket /run/sluice/sluice.sock

It runs in p4runtime-shell's own environment, so it uses nothing of the project but the daemon's API. The
shell asks with the lowest election id and refuses writes itself, so it changes nothing even where there is
no controller. Names come from the daemon each time; without one there are numbers.
"""

# pyright: reportMissingImports=false

import argparse
import http.client
import json
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Any, NamedTuple

import grpc
import p4runtime_sh.shell as p4sh
from p4.v1 import p4runtime_pb2
from p4runtime_sh.utils import UserError

ELECTION_ID = "0,1"
"""Lower than the controller's, so it stays primary."""

TIMEOUT = 5.0
"""Seconds for an answer of the daemon."""

PROTOCOLS = {6: "tcp", 17: "udp"}

ADDRESS_BITS, MAC_BITS = 128, 48
MAPPED_BITS = 96
"""Of an IPv4 address, before its own (RFC 4291, 2.5.5.2)."""

BANNER = """\
p4runtime-shell on {address}, looking only: the controller stays primary,
and writes are refused here.

  vips()                 VIPs as the switch has them
  pools()                pools, and how many of their buckets move
  backends()             backends, with what was sent to them
  buckets("web")         who has how many of a pool's buckets
  bucket("web", 517)     one of them
  rows("routes")         the entries of any table
  table_entry["routes"]  p4runtime-shell's own way to the same

Tables: {tables}
"""


class Bucket(NamedTuple):
    """Who has a bucket: for new flows, for those from before its last move, and if `current` is silent."""

    number: int
    current: str
    previous: str
    standby: str
    announced: bool

    @property
    def moving(self) -> bool:
        return self.current != self.previous


class Names:
    """Pools, backends and VIPs by their numbers in the tables, as the daemon knows them now."""

    def __init__(self, path: str) -> None:
        pools = _asked(path, "/v1/pools") or []
        self.pools: dict[int, str] = {pool["id"]: pool["name"] for pool in pools}
        self.backends: dict[int, str] = {
            backend["id"]: f"{pool['name']}/{backend['name']}"
            for pool in pools
            for backend in pool["backends"]
        }
        self.backends[0] = "nobody"

    def pool(self, number: int) -> str:
        return self.pools.get(number, f"pool {number}")

    def backend(self, number: int) -> str:
        return self.backends.get(number, f"backend {number}")

    def pool_number(self, name: str | int) -> int:
        """Raises UserError."""
        if isinstance(name, int):
            return name
        for number, known in self.pools.items():
            if known == name:
                return number
        raise UserError(f"no pool {name!r}; there is: {', '.join(sorted(self.pools.values())) or 'none'}")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("sluice", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


def _asked(path: str, resource: str) -> Any:
    """What the daemon answers; None where there is none."""
    connection = UnixConnection(path)
    try:
        connection.request("GET", resource)
        return json.loads(connection.getresponse().read())
    except OSError:
        return None
    finally:
        connection.close()


class Row(NamedTuple):
    """An entry: the fields of its key, its action and what that is given, its counter if it has one.

    `shown` is all of it for people.
    """

    key: dict[str, int]
    action: str
    values: dict[str, int]
    packets: int
    shown: str

    def __repr__(self) -> str:
        return self.shown


class Tables:
    """The switch's tables, read with the shell's own connection, and named by its own P4Info."""

    def __init__(self, p4info: Any) -> None:
        self._tables = {table.preamble.alias: table for table in p4info.tables}
        self._actions = {action.preamble.id: action for action in p4info.actions}
        self._counted = {counter.direct_table_id for counter in p4info.direct_counters}

    @property
    def names(self) -> list[str]:
        return sorted(self._tables)

    def rows(self, table: str) -> list[Row]:
        """The entries of a table, as numbers. Raises UserError."""
        if table not in self._tables:
            raise UserError(f"no table {table!r}; there is: {', '.join(self.names)}")
        try:
            return list(self._read(self._tables[table]))
        except grpc.RpcError as error:
            raise UserError(f"the switch does not answer: {error.details()}") from None

    def _read(self, table: Any) -> Iterator[Row]:
        request = p4runtime_pb2.ReadRequest(device_id=p4sh.client.device_id)
        wanted = request.entities.add().table_entry
        wanted.table_id = table.preamble.id
        if table.preamble.id in self._counted:
            wanted.counter_data.SetInParent()  # asks for the counters as well
        fields = {field.id: field for field in table.match_fields}
        for answer in p4sh.client.stub.Read(request):
            for entity in answer.entities:
                entry = entity.table_entry
                action = self._actions[entry.action.action.action_id]
                parameters = {parameter.id: parameter for parameter in action.params}
                given = [(parameters[one.param_id], one.value) for one in entry.action.action.params]
                key = [
                    f"{fields[one.field_id].name}={_match(one, fields[one.field_id])}" for one in entry.match
                ]
                values = [f"{one.name}={_value(value, one.bitwidth)}" for one, value in given]
                packets = entry.counter_data.packet_count
                yield Row(
                    {fields[match.field_id].name: _number(match) for match in entry.match},
                    action.preamble.alias,
                    {one.name: _integer(value) for one, value in given},
                    packets,
                    f"{' '.join(key)} -> {action.preamble.alias}({', '.join(values)})"
                    + f" {packets} packets" * (table.preamble.id in self._counted),
                )


def _number(match: Any) -> int:
    """Of a range its lower end, of a prefix or a ternary field the value."""
    kind = match.WhichOneof("field_match_type")
    field = getattr(match, kind)
    return _integer(field.low if kind == "range" else field.value)


def _match(match: Any, field: Any) -> str:
    """A field of a key for people: `10.0.0.0/24`, `8000..8099`, `10.0.0.1&0xff`."""
    kind = match.WhichOneof("field_match_type")
    wanted = getattr(match, kind)
    if kind == "range":
        return f"{_integer(wanted.low)}..{_integer(wanted.high)}"
    value = _value(wanted.value, field.bitwidth)
    if kind == "ternary":
        return f"{value}&{_integer(wanted.mask):#x}"
    if kind != "lpm":
        return value
    return f"{value}/{wanted.prefix_len - (MAPPED_BITS if '.' in value else 0)}"


def _value(value: bytes, width: int) -> str:
    """A number of so many bits for people: those of addresses are addresses."""
    number = _integer(value)
    if width == MAC_BITS:
        return number.to_bytes(6, "big").hex(":")
    return _address(number) if width == ADDRESS_BITS else str(number)


def _integer(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _address(number: int) -> str:
    """IPv4 addresses are IPv6 ones in the tables (RFC 4291, 2.5.5.2)."""
    address = IPv6Address(number)
    return str(address.ipv4_mapped or address)


class Helpers:
    """The functions that the shell offers."""

    def __init__(self, path: str, tables: Tables) -> None:
        self._path = path
        self._rows = tables.rows
        ours = (self.vips, self.pools, self.buckets, self.bucket, self.backends, tables.rows)
        self.all = {function.__name__: function for function in ours}

    def vips(self) -> None:
        """The VIPs that the switch has, with their pools."""
        names = Names(self._path)
        lines = [
            (
                _address(row.key["address"]),
                PROTOCOLS.get(row.key["protocol"], str(row.key["protocol"])),
                str(row.key["port"]),
                names.pool(row.values["pool"]),
                str(row.packets),
            )
            for row in self._rows("vips")
        ]
        _print(("ADDRESS", "PROTOCOL", "PORT", "POOL", "PACKETS"), lines)

    def pools(self) -> None:
        """The pools that the switch has."""
        names = Names(self._path)
        held: Counter[int] = Counter()
        moving: Counter[int] = Counter()
        for row in self._rows("buckets"):
            held[row.key["pool"]] += 1
            moving[row.key["pool"]] += row.values["current"] != row.values["previous"]
        lines = [(names.pool(number), str(held[number]), str(moving[number])) for number in sorted(held)]
        _print(("POOL", "BUCKETS", "MOVING"), lines)

    def buckets(self, pool: str | int) -> None:
        """How many buckets of a pool (its name, or its number) each backend has in which way."""
        found = self._buckets(pool)
        roles = [Counter(getattr(bucket, role) for bucket in found) for role in Bucket._fields[1:4]]
        names = sorted(set().union(*roles))
        _print(
            ("BACKEND", "CURRENT", "PREVIOUS", "STANDBY"),
            [(name, *(str(counts[name]) for counts in roles)) for name in names],
        )
        print(f"{len(found)} buckets, {sum(bucket.moving for bucket in found)} of them moving")

    def bucket(self, pool: str | int, number: int) -> Bucket:
        """One bucket of a pool. Raises UserError."""
        for bucket in self._buckets(pool):
            if bucket.number == number:
                return bucket
        raise UserError(f"the pool has no bucket {number}")

    def _buckets(self, pool: str | int) -> list[Bucket]:
        names = Names(self._path)
        number = names.pool_number(pool)
        found = [
            Bucket(
                row.key["bucket"],
                names.backend(row.values["current"]),
                names.backend(row.values["previous"]),
                names.backend(row.values["standby"]),
                bool(row.values["announced"]),
            )
            for row in self._rows("buckets")
            if row.key["pool"] == number
        ]
        return sorted(found)

    def backends(self) -> None:
        """The backends that the switch has."""
        names = Names(self._path)
        lines = [
            (
                str(row.key["backend"]),
                names.backend(row.key["backend"]),
                _address(row.values["address"]),
                str(row.values["port"] or "-"),
                str(row.packets),
            )
            for row in self._rows("backends")
        ]
        _print(("ID", "BACKEND", "ADDRESS", "PORT", "PACKETS"), sorted(lines, key=lambda line: int(line[0])))


def _print(titles: tuple[str, ...], lines: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(titles, *lines, strict=True)]
    for line in (titles, *lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def refuse(*_: Any, **__: Any) -> None:
    """In the place of whatever would change the switch."""
    raise UserError("this shell looks only; changes are the controller's: try `sluice --help`")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grpc-addr", default="127.0.0.1:9559", help="the switch's P4Runtime address")
    parser.add_argument("--device-id", default="1", help="the switch's device id")
    parser.add_argument("--socket", default="/run/sluice/sluice.sock", help="the daemon's, for names")
    options = parser.parse_args()
    plain_start = p4sh.start_ipython

    def start(user_ns: dict[str, Any], config: Any, argv: list[str]) -> None:
        p4sh.client.write = p4sh.client.write_update = p4sh.client.set_fwd_pipe_config = refuse
        tables = Tables(p4sh.client.get_p4info())
        banner = BANNER.format(address=options.grpc_addr, tables=", ".join(tables.names))
        config.TerminalInteractiveShell.banner1 = banner
        config.TerminalInteractiveShell.confirm_exit = False
        plain_start(user_ns={**user_ns, **Helpers(options.socket, tables).all}, config=config, argv=argv)

    p4sh.start_ipython = start
    sys.argv[1:] = [
        *("--grpc-addr", options.grpc_addr),
        *("--device-id", options.device_id),
        *("--election-id", ELECTION_ID),
    ]
    p4sh.main()


if __name__ == "__main__":
    main()
