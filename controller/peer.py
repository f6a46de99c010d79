"""The other controller of a pair, by its API."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import httpx

from controller.api import client
from controller.api.client import (
    Client,
    ClientError,
    NotTrusted,
    NotUnderstood,
    Refused,
    Remote,
    Unusable,
)
from controller.errors import StartError
from controller.pair import LONGEST_WAIT, PeerRefuses, PeerUnreachable
from controller.replica import FORMAT, Bookmark, Replica

TIMEOUT = httpx.Timeout(LONGEST_WAIT + 6.0, connect=5.0)
"""Seconds of silence after which the peer counts as gone, or the network between us."""

FOR_SOMEBODY = (NotTrusted, NotUnderstood, Refused, Unusable)
"""What does not change by asking again."""


class ApiPeer:
    """Asked at the socket of its API, or by TCP with TLS and a token.

    The connection is kept from question to question. After one that fails a new one is made, for which the
    files of the token and of the authority are read again.
    """

    def __init__(self, place: Path | Remote) -> None:
        self._place = place
        self._idle: deque[Client] = deque(maxlen=1)

    def check(self) -> None:
        """Raises StartError when what is needed to ask is not right, as far as can be known from here."""
        try:
            client.check(self._place)
        except ClientError as error:
            raise StartError(f"--peer: {error}") from None

    async def replica(self, copy: Bookmark, wait: float) -> Replica:
        try:
            return await asyncio.to_thread(self._ask, copy, wait)
        except NotUnderstood:
            raise PeerRefuses(
                f"the peer at {self._place} answers in another way than is known here: "
                f"it is of another version, bring both to the same one"
            ) from None
        except Refused as error:
            hint = f" ({error.refusal.hint})" if error.refusal.hint else ""
            raise PeerRefuses(f"the peer at {self._place} refuses: {error}{hint}") from None
        except FOR_SOMEBODY as error:
            raise PeerRefuses(str(error)) from None
        except ClientError as error:
            raise PeerUnreachable(str(error)) from None

    def close(self) -> None:
        with contextlib.suppress(IndexError):
            self._idle.pop().close()

    def _ask(self, copy: Bookmark, wait: float) -> Replica:
        with self._connection() as peer:
            return peer.get(
                Replica,
                "replica",
                epoch=copy.epoch,
                version=copy.version,
                before=copy.before,
                wait=wait,
                format=FORMAT,
            )

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Client]:
        """The one of the last question, unless that one failed or is still under way in another thread."""
        try:
            peer = self._idle.pop()
        except IndexError:
            peer = Client(self._place, timeout=TIMEOUT)
        try:
            yield peer
        except BaseException:
            peer.close()
            raise
        self._idle.append(peer)
