"""What a pool says about the health of its backends: kinds of checks and their timing, as checked data."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

import re2
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from controller.parts import Int, L4Port, Part
from controller.values import Duration, Share, refuse

LEAST_STATUS, LAST_STATUS = 100, 599
MAX_DATAGRAM = 1400
"""Bytes; what surely needs no fragments."""

HEX = "hex:"
MOST_HALVINGS = 50
MAX_EJECTION = 86400.0


@dataclass(frozen=True, slots=True)
class StatusRange:
    """HTTP statuses, both ends included."""

    low: int
    high: int

    def __contains__(self, status: int) -> bool:
        return self.low <= status <= self.high

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


def _statuses(value: Any) -> tuple[StatusRange, ...]:
    """From `200`, `200-299`, or a list of such."""
    return tuple(map(_status, value if isinstance(value, list | tuple) else [value]))


def _status(value: Any) -> StatusRange:
    if isinstance(value, StatusRange):
        return value
    low, dash, high = value.partition("-") if isinstance(value, str) else (str(value), "", "")
    ends = [end.strip() for end in (low, high if dash else low)]
    if not isinstance(value, bool) and all(end.isdecimal() for end in ends):
        first, last = map(int, ends)
        if LEAST_STATUS <= first <= last <= LAST_STATUS:
            return StatusRange(first, last)
    raise refuse(
        f"is {value!r}, must be a status from {LEAST_STATUS} to {LAST_STATUS}, a range such as 200-299, or "
        "a list of them"
    )


def _status_text(statuses: tuple[StatusRange, ...]) -> list[int | str]:
    return [one.low if one.low == one.high else str(one) for one in statuses]


Statuses = Annotated[
    tuple[StatusRange, ...],
    BeforeValidator(_statuses),
    PlainSerializer(_status_text, return_type=list[int | str], when_used="json"),
    WithJsonSchema(
        {
            "type": "array",
            "minItems": 1,
            "items": {
                "anyOf": [
                    {"type": "integer", "minimum": LEAST_STATUS, "maximum": LAST_STATUS},
                    {"type": "string", "examples": ["200-299"]},
                ]
            },
        }
    ),
    Field(min_length=1),
]


def octets(text: str) -> bytes:
    """What `send` and `expect` stand for: UTF-8 text, or bytes in hexadecimal after `hex:`."""
    return bytes.fromhex(text.removeprefix(HEX)) if text.startswith(HEX) else text.encode()


def _octets_text(text: str) -> str:
    try:
        size = len(octets(text))
    except ValueError:
        raise refuse(f"is {text!r}, must be text, or pairs of hexadecimal digits after {HEX}") from None
    if size > MAX_DATAGRAM:
        raise refuse(f"has {size} bytes, must have at most {MAX_DATAGRAM}")
    return text


Octets = Annotated[str, AfterValidator(_octets_text)]


class HealthTiming(Part):
    """When a backend is checked, and how many results in a row (rise, fall) change its verdict.

    From the beginning of one check to that of the next it is `interval`, more or less by up to `jitter` of
    it.
    """

    interval: Duration = Field(default=1.0, ge=0.01)
    timeout: Duration = Field(default=0.5, ge=0.001)
    rise: Int = Field(default=2, ge=1, le=100)
    fall: Int = Field(default=3, ge=1, le=100)
    jitter: Share = 0.1


class TcpCheck(HealthTiming):
    """Healthy if it accepts a connection. Without `port`, the port that the backend serves on."""

    type: Literal["tcp"] = "tcp"
    port: L4Port | None = None


class WebCheck(HealthTiming):
    """Healthy if a request for `path` is answered with a `status` that is expected, and such a `body`.

    Without `port`, as `TcpCheck`; without `host`, the Host header is the backend's address and port. `body`
    is a regular expression (RE2) that is looked for in the first 64 KiB.
    """

    port: L4Port | None = None
    method: Literal["GET", "HEAD", "OPTIONS", "POST"] = "GET"
    path: str = Field(default="/", pattern=r"^/[!-~]*$", max_length=2000)
    host: str | None = Field(default=None, pattern=r"^[!-~]+$", max_length=255)
    status: Statuses = Field(default=(StatusRange(200, 200),), json_schema_extra={"default": [200]})
    body: str | None = Field(default=None, min_length=1, max_length=1000)

    @field_validator("body")
    @classmethod
    def _is_a_pattern(cls, body: str | None) -> str | None:
        if body is not None:
            compiled(body)
        return body

    @model_validator(mode="after")
    def _has_a_body(self) -> Self:
        if self.body is not None and self.method == "HEAD":
            raise refuse("an answer to HEAD has no body; use GET, or leave body out")
        return self


class HttpCheck(WebCheck):
    """Over TCP."""

    type: Literal["http"]


class HttpsCheck(WebCheck):
    """Over TLS.

    With `verify` the certificate must be good for `sni`, or else `host`, or else the backend's address, and
    its issuer known to the system, or in the file `ca` (PEM, read by the daemon).
    """

    type: Literal["https"]
    sni: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.-]+$", max_length=253)
    verify: bool = True
    ca: str | None = Field(default=None, pattern=r"^/", max_length=4096)


class IcmpCheck(HealthTiming):
    """Healthy if it answers an echo request ("ping")."""

    type: Literal["icmp"]


class UdpCheck(HealthTiming):
    """Healthy if it answers a datagram of `send`, with one that holds `expect` if that is given.

    Both are text, or bytes in hexadecimal: `hex:0a00`. Without `port`, as `TcpCheck`.
    """

    type: Literal["udp"]
    port: L4Port | None = None
    send: Octets = ""
    expect: Octets | None = None


class ExecCheck(HealthTiming):
    """Healthy if a program ends with status 0.

    `command` is the name of a program in the daemon's folder of checks, and its arguments. There is no shell.
    """

    type: Literal["exec"]
    port: L4Port | None = None
    command: tuple[Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]*$")], ...] = Field(
        min_length=1, max_length=64
    )

    @field_validator("command")
    @classmethod
    def _in_the_folder(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        name = command[0]
        if "/" in name or name in ("", ".", ".."):
            raise refuse(f"begins with {name!r}, must begin with the name of a file in the folder of checks")
        return command


class NoCheck(Part):
    """Always healthy."""

    type: Literal["none"]


Check = TcpCheck | HttpCheck | HttpsCheck | IcmpCheck | UdpCheck | ExecCheck
Portless = IcmpCheck | ExecCheck | NoCheck
"""Can do without a port."""

Health = Annotated[Check | NoCheck, Field(discriminator="type")]


class Damping(Part):
    """How backends are held back that go up and down all the time; see `damping`."""

    half_life: Duration = Field(default=60.0, ge=0.1)
    suppress: float = Field(default=3.0, ge=1, le=100)
    reuse: float = Field(default=1.0, gt=0, le=100)
    longest: Duration = 600.0

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.reuse >= self.suppress:
            raise refuse(f"reuse is {self.reuse:g}, must be less than suppress, which is {self.suppress:g}")
        if self.ceiling < self.suppress:
            raise refuse(
                f"would never hold anybody back: within longest ({self.longest:g} s) a penalty must decay "
                f"from suppress ({self.suppress:g}) to reuse ({self.reuse:g})"
            )
        return self

    @property
    def ceiling(self) -> float:
        """The penalty that decays to `reuse` in the longest time."""
        return self.reuse * 2 ** min(self.longest / self.half_life, MOST_HALVINGS)


class Reaction(StrEnum):
    """What comes of a signal: nothing; checks that hurry; no new connections for a while.

    `auto`: checks hurry if there are any and the pool's answers pass the switch; otherwise nothing.
    """

    AUTO = "auto"
    NONE = "none"
    CHECK = "check"
    EJECT = "eject"


class Passive(Part):
    """What clients' own connections say of a backend, and what comes of it; see `passive` and `ejection`.

    It takes at least `connections` in at least `window` without any that was accepted: `refusing` if half of
    them were refused, else `silent`. Who is ejected is out for `ejection`, each further time twice as long,
    never longer than `longest`; of a pool at most the share `most` is out at once.
    """

    silent: Reaction = Reaction.AUTO
    refusing: Reaction = Reaction.AUTO
    connections: Int = Field(default=10, ge=1, le=1_000_000)
    window: Duration = Field(default=2.0, ge=0.2, le=60)
    ejection: Duration = Field(default=10.0, ge=0.1, le=MAX_EJECTION)
    longest: Duration = Field(default=300.0, le=MAX_EJECTION)
    most: Share = 0.5

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.ejection > self.longest:
            raise refuse(f"ejection is {self.ejection:g} s, must be at most longest, {self.longest:g} s")
        return self


def compiled(pattern: str) -> Any:
    """A regular expression over bytes.

    RE2's, because a backend's answer decides how long matching takes: linear time here, exponential in
    Python's own. Raises a refusal when it is none.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        (reason,) = error.args
        raise refuse(f"is {pattern!r}, which is no regular expression: {reason.decode()}") from None
