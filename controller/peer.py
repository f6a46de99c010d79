"""The other controller of a pair, by its API."""

import asyncio
from pathlib import Path

from controller.api.client import Client, ClientError
from controller.pair import PeerUnreachable
from controller.replica import Replica


class ApiPeer:
    """Asked at the socket of its API."""

    def __init__(self, place: Path) -> None:
        self._place = place

    async def replica(self, epoch: str, version: int, wait: float) -> Replica:
        try:
            return await asyncio.to_thread(self._ask, epoch, version, wait)
        except ClientError as error:
            raise PeerUnreachable(str(error)) from None

    def _ask(self, epoch: str, version: int, wait: float) -> Replica:
        with Client(self._place) as peer:
            return peer.get(Replica, "replica", epoch=epoch, version=version, wait=wait)
