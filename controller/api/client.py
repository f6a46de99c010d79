"""The API's client, over the daemon's unix socket, or by TCP with TLS and a token.

    with Client(Path("/run/sluice/sluice.sock")) as daemon:
        pool = daemon.get(PoolView, "pools", "web")

    with Client(Remote("https://lb1.example:9443", Path("token"))) as daemon: ...

What can go wrong:

    ClientError
      Unreachable      no daemon answers there
        Absent         nobody has taken that place
        NotTrusted     somebody does, whose certificate is not accepted
      Unusable         what is needed to ask is not right: an address, a token, a certificate
      Refused          the daemon answered with a Refusal
        Conflict       somebody else has changed the configuration in between
      NotUnderstood    the daemon answered something else
"""

import getpass
import os
import re
import ssl
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from pydantic import TypeAdapter, ValidationError

from controller.api.schemas import USER_HEADER, Change, Refusal
from controller.events import Event

T = TypeVar("T")
Pieces = tuple[str, ...]

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
"""Seconds. A change waits a few for the switch; nothing takes nearly as long."""


MAX_ANSWER = 256 * 2**20
"""Bytes. The largest document is 32 MiB; a standby's copy comes in portions (`controller.replica`)."""

MAX_TOKEN = 1000
"""Letters."""

_TOKEN = re.compile(r"[!-~]+")


class ClientError(Exception):
    """Why there is no answer; the message is for the operator."""


class Unreachable(ClientError):
    """Nobody answers there, or the connection broke."""


class Absent(Unreachable):
    """Nobody listens there: it is to be started, or is somewhere else."""


class NotTrusted(Unreachable):
    """Whoever answers there shows a certificate that is not accepted."""


class Unusable(ClientError):
    """The address of a daemon, the file of a token or of an authority cannot be used."""


class Refused(ClientError):
    """The daemon's refusal."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(f"{refusal.where}: {refusal.error}" if refusal.where else refusal.error)


class Conflict(Refused):
    """The change was made for a revision that is not the present one any more."""


class NotUnderstood(ClientError):
    """An answer of another shape than ours: the daemon is of another version."""

    def __init__(self) -> None:
        super().__init__(
            "the daemon answers in another way than this command knows: restart it after an update"
        )


@dataclass(frozen=True, slots=True)
class Remote:
    """A daemon that serves by TCP. Without `authority` (PEM) its certificate is checked by the system's."""

    url: str
    token_file: Path
    authority: Path | None = None

    def __str__(self) -> str:
        return self.url


class Client:
    """Speaks to one daemon. Paths are given in pieces, such as `"pools", "web"`."""

    def __init__(
        self, place: Path | Remote, user: str | None = None, timeout: httpx.Timeout = TIMEOUT
    ) -> None:
        """Raises Unusable."""
        self._place = place
        self._http = (
            _by_tcp(place, timeout)
            if isinstance(place, Remote)
            else _by_socket(place, user or _user(), timeout)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, kind: type[T], *path: str, **query: Any) -> T:
        """What is at `path`, as a `kind`."""
        return _understood(kind, self._request("GET", path, query).content)

    def text(self, *path: str, **query: Any) -> str:
        return self._request("GET", path, query).text

    def post(self, *path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Change:
        return self._change("POST", path, query, json=body)

    def patch(self, *path: str, body: Mapping[str, Any]) -> Change:
        return self._change("PATCH", path, json=body)

    def put(self, *path: str, document: bytes, **query: Any) -> Change:
        return self._change("PUT", path, query, content=document)

    def delete(self, *path: str, **query: Any) -> Change:
        return self._change("DELETE", path, query)

    def follow(self, after: int) -> Iterator[Event]:
        """The events after number `after`, then each new one, until the daemon's end (Unreachable)."""
        url = self._url(("events", "stream"))
        try:
            with self._http.stream("GET", url, params={"after": after}, timeout=None) as response:
                if not response.is_success:
                    response.read()
                    raise Refused(_refusal(response))
                for line in response.iter_lines():
                    if line.startswith("data:"):
                        yield _understood(Event, line.removeprefix("data:").encode())
        except httpx.TransportError as error:
            raise self._unreachable(error) from None
        raise Unreachable("the daemon has ended")

    def _change(self, method: str, path: Pieces, query: Mapping[str, Any] = {}, **body: Any) -> Change:
        return _understood(Change, self._request(method, path, query, **body).content)

    def _request(self, method: str, path: Pieces, query: Mapping[str, Any], **body: Any) -> httpx.Response:
        try:
            response = self._answer(self._http.build_request(method, self._url(path), params=query, **body))
        except httpx.TransportError as error:
            raise self._unreachable(error) from None
        except httpx.DecodingError:
            raise NotUnderstood from None
        if response.is_success:
            return response
        refused = Conflict if response.status_code == HTTPStatus.CONFLICT else Refused
        raise refused(_refusal(response))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        """The whole answer. Raises Unusable for one that does not end in time to fit into memory."""
        response, content = self._http.send(request, stream=True), bytearray()
        try:
            for part in response.iter_bytes():
                content += part
                if len(content) > MAX_ANSWER:
                    raise Unusable(f"{self._place} answers with more than {MAX_ANSWER >> 20} MB")
        finally:
            response.close()
        return httpx.Response(response.status_code, content=bytes(content))

    @staticmethod
    def _url(path: Pieces) -> str:
        for piece in path:
            if "/" in piece or piece in ("", ".", ".."):  # in an address these would mean something else
                raise Refused(Refusal(error=f"nothing can have the name {piece!r}"))
        return "/".join(quote(piece, safe="") for piece in path)

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        if isinstance(error, httpx.ConnectError):
            kind = NotTrusted if _verification(error) else Absent
            return kind(f"no daemon answers at {self._place}: {_reason(error)}")
        if isinstance(error, httpx.TimeoutException):
            return Unreachable(f"the daemon at {self._place} does not answer: it is busy, or hangs")
        return Unreachable(f"the connection to the daemon at {self._place} broke")


def _by_socket(socket: Path, user: str, timeout: httpx.Timeout) -> httpx.Client:
    return httpx.Client(
        transport=httpx.HTTPTransport(uds=str(socket), verify=False),  # no TLS, so load no certificates
        base_url="http://sluice/v1/",
        headers={USER_HEADER: quote(user)},
        timeout=timeout,
        trust_env=False,
    )


def check(place: Path | Remote) -> None:
    """Raises Unusable when what is needed to ask there is not right, as far as can be known from here."""
    Client(place).close()


def _by_tcp(place: Remote, timeout: httpx.Timeout) -> httpx.Client:
    wrong = Unusable(f"{place.url} must be an address such as https://lb1.example:9443")
    try:
        url = urlsplit(place.url)
        port_is_right = url.port != 0
    except ValueError:  # half a bracket, or no number for a port
        raise wrong from None
    superfluous = url.path.strip("/") or url.query or url.username
    if url.scheme != "https" or not url.hostname or not port_is_right or superfluous:
        raise wrong
    try:
        verify = ssl.create_default_context(cafile=place.authority)
    except OSError as error:  # ssl.SSLError is one
        reason = "" if isinstance(error, ssl.SSLError) else f": {error.strerror}"
        raise Unusable(f"{place.authority} is no file of certificates (PEM){reason}") from None
    return httpx.Client(
        base_url=f"https://{url.netloc}/v1/",
        headers={"Authorization": f"Bearer {_token(place.token_file)}"},
        verify=verify,
        timeout=timeout,
        trust_env=False,
    )


def _token(file: Path) -> str:
    """The token in a file of one line, which nobody else may read."""
    try:
        with file.open() as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            token = stream.read(MAX_TOKEN + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise Unusable(f"{file} cannot be read: {reason}") from None
    if mode & 0o077:
        raise Unusable(f"{file} has mode {mode:04o}, so others may read the token: chmod 600 {file}")
    if not _TOKEN.fullmatch(token):
        raise Unusable(f"{file} must hold one token, as `sluice api token` prints it, and nothing else")
    return token


def _understood(kind: type[T], answer: bytes) -> T:
    try:
        return TypeAdapter(kind).validate_json(answer)
    except ValidationError:
        raise NotUnderstood from None


def _reason(error: BaseException) -> str:
    """The system's words for what is at the bottom of `error`."""
    if refused := _verification(error):
        return f"its certificate is not accepted: {refused.verify_message}"
    words = [cause.strerror for cause in _causes(error) if isinstance(cause, OSError) and cause.strerror]
    return words[0].lower() if words else str(error)


def _verification(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """That a certificate is not accepted, if that is why."""
    found = (cause for cause in _causes(error) if isinstance(cause, ssl.SSLCertVerificationError))
    return next(found, None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _refusal(response: httpx.Response) -> Refusal:
    try:
        return Refusal.model_validate_json(response.content)
    except ValidationError:
        status = HTTPStatus(response.status_code)
        return Refusal(error=f"the daemon answered {status.value} {status.phrase}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user in the system's list
        return "unknown"
