"""The scalar types of the configuration: durations, moments, shares, MAC and IP addresses, ports, names.

Each accepts what an operator writes, and says what would be right when it cannot. In Python a duration is a
float of seconds, a moment a `datetime` of a whole second in UTC, a share a float from 0 to 1, a MAC address
its lower-case text, an IP address an object of `ipaddress`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from math import ceil
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, PlainSerializer, StringConstraints
from pydantic_core import PydanticCustomError

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
T = TypeVar("T")

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_LEADING_ZEROS = re.compile(r"(?=.*\b0\d)\d+(\.\d+){3}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def refuse(message: str) -> PydanticCustomError:
    """An error whose text is `message`; braces in it are not placeholders."""
    return PydanticCustomError("refused", "{message}", {"message": message})  # type: ignore[arg-type]


def parse_duration(value: Any) -> float:
    """Seconds from `300s`, `5m`, `200ms`, `1h` or a number of seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        seconds = float(match[1]) * UNITS[match[2]]
    else:
        raise refuse(f"is {value!r}, must be a duration such as 200ms, 30s, 5m or 1h, or a number of seconds")
    if not 0 <= seconds < 365 * UNITS["d"]:
        raise refuse(f"is {value}, must be a duration between 0 and 365 days")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as the same duration."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{int(seconds) // size}{unit}"
    if seconds == int(seconds):
        return f"{int(seconds)}s"
    exact = Decimal(repr(seconds))
    text = f"{(exact * 1000).normalize():f}ms"
    return text if parse_duration(text) == seconds else f"{exact:f}s"


def parse_moment(value: Any) -> datetime:
    """From `2026-11-23T07:10:00Z` or another time with its zone (ISO 8601), rounded up to whole seconds."""
    example = "2026-11-23T07:10:00Z"
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            raise refuse(f"is {value!r}, must be a time such as {example}") from None
    if not isinstance(moment, datetime):
        raise refuse(f"is {value}, must be a time such as {example}")
    if moment.tzinfo is None:
        raise refuse(f"is {value}, and names no time zone: write it as in {example}")
    try:
        return datetime.fromtimestamp(ceil(moment.timestamp()), UTC)
    except (ValueError, OverflowError):
        raise refuse(f"is {value}, must be a time such as {example}") from None


def format_moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def parse_share(value: Any) -> float:
    """From `10%`, or a number from 0 to 1."""
    share = float("nan")
    if isinstance(value, int | float) and not isinstance(value, bool):
        share = float(value)
    elif isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
        share = float(Decimal(match[1]) / 100)
    if not 0 <= share <= 1:
        raise refuse(f"is {value!r}, must be a share such as 10%, from 0% to 100%")
    return share


def format_share(share: float) -> str:
    """As people read it."""
    return f"{share * 100:g}%"


def _share_text(share: float) -> str:
    """A text that `parse_share` reads as the same share."""
    text = format_share(share)
    return (
        text
        if _PERCENT.fullmatch(text) and parse_share(text) == share
        else f"{Decimal(repr(share)) * 100:f}%"
    )


def _text(value: Any, example: str) -> str:
    if not isinstance(value, str):
        raise refuse(f"must be text such as {example} (in quotes if YAML reads it as something else)")
    return value.strip()


def _from_text(parse: Callable[[str], T], kinds: tuple[type, ...], example: str) -> Callable[[Any], T]:
    def validate(value: Any) -> T:
        if isinstance(value, kinds):
            return value  # type: ignore[return-value]
        try:
            return parse(_text(value, example))
        except PydanticCustomError:
            raise
        except ValueError as error:
            # ipaddress has nothing to add where the text is no address at all.
            reason = "" if "does not appear to be" in str(error) else f" ({error})"
            raise refuse(f"{value!r} is not right, it must look like {example}{reason}") from None

    return validate


def parse_mac(value: Any) -> str:
    """A unicast MAC address in lower case."""
    mac = _text(value, '"02:00:00:00:00:01"').lower()
    if not _MAC.fullmatch(mac):
        raise refuse(f"{value!r} is not a MAC address such as 02:00:00:00:00:01")
    if int(mac[:2], 16) & 1:
        raise refuse(f"{mac} is a multicast MAC address; the lowest bit of its first byte must be 0")
    return mac


def mac_to_int(mac: str) -> int:
    return int(mac.replace(":", ""), 16)


def int_to_mac(value: int) -> str:
    return ":".join(f"{byte:02x}" for byte in value.to_bytes(6, "big"))


def format_service(address: Address | str, port: int | str | None) -> str:
    """`10.0.1.11:8080`, `[fd00::11]:8080` (RFC 5952, section 6), or the address alone without a port."""
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def _plain_address(text: str) -> Address:
    if _LEADING_ZEROS.fullmatch(text):
        raise ValueError("leave leading zeros out: some programs read such numbers as octal")
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("an address with a zone index has no meaning here")
        if address.ipv4_mapped is not None:
            raise ValueError(f"write the IPv4 address itself, {address.ipv4_mapped}")
    return address


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        network = ip_network(text, strict=False)  # what has only bits of a host too many
        raise ValueError(f"bits of a host are set; the network is {network}") from None


def _host_address(text: str) -> Address:
    address = _plain_address(text)
    if address.is_multicast or address.is_unspecified or address.is_loopback or text == "255.255.255.255":
        raise ValueError("a unicast address of a host is needed")
    return address


LAST_PORT = 65535

BACKEND_BITS = 18
"""Of a backend's number in the data plane (`backend_t` in p4src/metadata.p4). 0 is nobody."""

LAST_BACKEND = (1 << BACKEND_BITS) - 1

_PORTS = re.compile(r"(\d{1,5})\s*-\s*(\d{1,5})")


@dataclass(frozen=True, slots=True)
class PortRange:
    """Several ports, both ends included; from 0 it is any port."""

    low: int
    high: int

    def __str__(self) -> str:
        return "any" if self.is_any else f"{self.low}-{self.high}"

    @property
    def is_any(self) -> bool:
        return (self.low, self.high) == (0, LAST_PORT)

    def overlaps(self, other: "PortRange") -> bool:
        return self.low <= other.high and other.low <= self.high

    def __contains__(self, other: "PortRange") -> bool:
        return self.low <= other.low and other.high <= self.high


def span(port: "int | PortRange") -> PortRange:
    """A port as a range of one."""
    return port if isinstance(port, PortRange) else PortRange(port, port)


def parse_ports(value: Any) -> int | PortRange:
    """A port, `8000-8099`, or `any`."""
    if isinstance(value, PortRange):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LAST_PORT:
        return value
    if isinstance(value, str):
        text = value.strip()
        if text == "any":
            return PortRange(0, LAST_PORT)
        if text.isdecimal() and 1 <= int(text) <= LAST_PORT:
            return int(text)
        if (match := _PORTS.fullmatch(text)) and 1 <= int(match[1]) < int(match[2]) <= LAST_PORT:
            return PortRange(int(match[1]), int(match[2]))
    raise refuse(f"is {value!r}, must be a port from 1 to {LAST_PORT}, a range such as 8000-8099, or any")


def _ports_text(value: int | PortRange) -> int | str:
    return value if isinstance(value, int) else str(value)


as_text = PlainSerializer(str, return_type=str, when_used="json")

Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]
Moment = Annotated[
    datetime,
    BeforeValidator(parse_moment),
    PlainSerializer(format_moment, return_type=str, when_used="json"),
]
Share = Annotated[
    float,
    BeforeValidator(parse_share),
    PlainSerializer(_share_text, return_type=str, when_used="json"),
]
Ports = Annotated[
    int | PortRange,
    BeforeValidator(parse_ports),
    PlainSerializer(_ports_text, return_type=int | str, when_used="json"),
]
Mac = Annotated[str, BeforeValidator(parse_mac)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
HostAddress = Annotated[
    Address,
    BeforeValidator(_from_text(_host_address, (IPv4Address, IPv6Address), "10.0.1.11 or fd00::11")),
    as_text,
]
InterfaceAddress = Annotated[
    Interface,
    BeforeValidator(_from_text(ip_interface, (IPv4Interface, IPv6Interface), "10.0.1.1/24 or fd00::1/64")),
    as_text,
]
Prefix = Annotated[
    Network,
    BeforeValidator(_from_text(_network, (IPv4Network, IPv6Network), "10.0.0.0/8, 0.0.0.0/0 or fd00::/48")),
    as_text,
]
