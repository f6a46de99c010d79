"""Two controllers for one switch: one is active, the other stands by with a copy of all that it knows.

Who is active is decided by the switch alone: the one that is its primary controller (P4Runtime, "Client
Arbitration"). The standby copies the active's store by its API and takes over when the switch says that there
is no primary. It bids an election id that nobody had before, so the one before cannot write any more, whether
it knows or not.

Of several switches the first decides; whoever is its primary takes the others (`candidacy.Escort`), and who
stands by has none.

A change of the configuration is acknowledged when the standby has it on its disk, too, or has not been
heard of for a while. Buckets and identities follow a moment later: what the copy lacks of them, the switch
has.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from controller.errors import NotActive, SluiceError
from controller.events import EventLog, Kind, Severity
from controller.replica import Bookmark, Replica
from controller.report import Role
from controller.store import Store

LONGEST_WAIT = 2.0
"""Seconds that a question for news may wait for some."""

PRESENT = 2 * LONGEST_WAIT
"""Seconds after which a standby that has not asked again counts as absent."""

CONFIRMATION = 2.0
"""Seconds that a change waits for the standby to have it."""

FIRST_QUESTION, IMPORTANT_QUESTION = 1.0, 5.0
"""Seconds that the peer gets to say what it has, when neither of us is active; the latter if we know that we
are not the one that was active last."""

FIRST_RETRY, LAST_RETRY = 0.2, 3.0
"""Seconds between two questions to a peer that does not answer; doubled each time."""

ABSENCE = 1.0
"""Seconds until it is told that an active does not answer."""


class PeerUnreachable(SluiceError):
    """The other controller does not answer."""


class PeerRefuses(PeerUnreachable):
    """The other controller does not answer us, and will not before somebody puts something right."""


class Peer(Protocol):
    """The other one."""

    async def replica(self, copy: Bookmark, wait: float) -> Replica:
        """What our copy lacks; waits up to `wait` seconds for something new. Raises PeerUnreachable."""
        ...

    def close(self) -> None: ...


class Followers:
    """What the active knows of its standby: until which version it has everything."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._news = asyncio.Event()
        self._progress = asyncio.Condition()
        self._confirmed = -1
        self._epoch = ""
        self._heard = float("-inf")

    def watch(self) -> None:
        """From now on changes of the store wake those who wait for them."""
        loop = asyncio.get_running_loop()
        self._store.versions.changed = lambda: loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    @property
    def present(self) -> bool:
        return time.monotonic() - self._heard < PRESENT

    async def replica(self, copy: Bookmark, wait: float) -> Replica:
        """What a copy lacks that has come as far as that."""
        versions = self._store.versions
        async with self._progress:
            self._heard, self._epoch, self._confirmed = time.monotonic(), copy.epoch, copy.version
            self._progress.notify_all()
        try:
            async with asyncio.timeout(min(wait, LONGEST_WAIT)):
                while (news := self._news) and copy == Bookmark(versions.epoch, versions.now):
                    await news.wait()
        except TimeoutError:
            pass
        return await asyncio.to_thread(self._store.replica, copy)

    async def confirmed(self) -> bool:
        """Waits until the standby has all that the store has now; False if it takes too long."""
        versions = self._store.versions
        epoch, version = versions.epoch, versions.now
        try:
            async with asyncio.timeout(CONFIRMATION), self._progress:
                await self._progress.wait_for(lambda: self._epoch == epoch and self._confirmed >= version)
        except TimeoutError:
            self._heard = float("-inf")  # until it asks again
            return False
        return True


class Pair:
    """Our half of a pair. `reload` takes over what the store has now, in memory."""

    def __init__(self, peer: Peer, store: Store, events: EventLog, reload: Callable[[], None]) -> None:
        self._role = Role.UNDECIDED
        self._turn = asyncio.Event()
        self.followers = Followers(store)
        self._peer, self._store, self._events, self._reload = peer, store, events, reload
        self._following: asyncio.Task[None] | None = None
        self._in_step = False
        """We have, or had until its end, what the active had."""
        self._copied = Bookmark()
        self._election_id = 0
        """That of our latest time as the active."""

    @property
    def role(self) -> Role:
        return self._role

    def _become(self, role: Role) -> None:
        self._role = role
        self._turn.set()
        self._turn = asyncio.Event()

    async def until_active(self) -> None:
        while self._role is not Role.ACTIVE:
            await self._turn.wait()

    async def until_passive(self) -> None:
        while self._role is Role.ACTIVE:
            await self._turn.wait()

    # as a candidate for the switch

    def stands_by(self) -> None:
        """The other one has the switch: follows it."""
        if self.role is not Role.STANDBY:
            self._become(Role.STANDBY)
            self._in_step, self._copied = False, Bookmark()
            self._record("stands by", "another controller has the switch")
        if self._following is None:
            self._following = asyncio.create_task(self._follow(), name="follow the active")

    async def may_bid(self, highest: int) -> None:
        """Nobody has the switch. Somebody may have had it since we last knew: then asks the peer."""
        await self._stop_following()
        if self.role is Role.ACTIVE and highest in (0, self._election_id):
            return  # only our connection was lost
        if not self._in_step:
            await self._catch_up(highest)

    def won(self, election_id: int) -> None:
        """We are the switch's primary controller."""
        self._election_id = election_id
        self._store.begin_term(election_id)
        if self.role is not Role.ACTIVE:
            before = self.role
            self._reload()
            self._become(Role.ACTIVE)
            cause = "nobody had the switch" if before is Role.UNDECIDED else "the active has gone"
            self._record("is active", cause)
        self._in_step = True

    @property
    def waits(self) -> bool:
        """The switch has told us that it is another one's."""
        return self._following is not None

    async def close(self) -> None:
        await self._stop_following()
        self._peer.close()

    # as the active

    def refuse_unless_active(self, primary: bool) -> None:
        """Raises NotActive when somebody else decides, or may do so by now; `primary`: of the switch."""
        if self.role is Role.STANDBY:
            raise NotActive("this controller stands by: ask the active one, its peer")
        if self.role is Role.UNDECIDED:
            raise NotActive("the switch has not answered yet, so this controller may be the standby")
        if not (primary or self.followers.present):
            raise NotActive("neither the switch nor the peer answers: the peer may have become active")

    async def confirm(self) -> None:
        """A change is in our store; waits for the standby's, if there is one at present."""
        if self.followers.present and not await self.followers.confirmed():
            text = "the standby does not keep up; going on without it"
            self._record(text, f"no answer for {CONFIRMATION:g} s", Severity.WARNING)

    # as the standby

    async def _follow(self) -> None:
        """Copies what is new until cancelled. That the active has gone is soon told by the switch, too."""
        failing, told, pause = None, "", FIRST_RETRY
        while True:
            try:
                await self._copy()
                if not self._copied.before:
                    if told or not self._in_step:
                        self._record("has a copy of all that the active knows")
                    self._in_step, told = True, ""
                failing, pause = None, FIRST_RETRY
            except SluiceError as error:
                failing = failing or time.monotonic()
                waited = isinstance(error, PeerRefuses) or time.monotonic() - failing > ABSENCE
                if waited and told != str(error):
                    told = str(error)
                    self._record("cannot follow the active", told, Severity.WARNING)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LAST_RETRY)

    async def _copy(self) -> None:
        """Takes what is new, and the next portion of what is old."""
        copied = self._copied
        replica = await self._peer.replica(copied, 0 if copied.before else LONGEST_WAIT)
        if replica.whole or replica.bookmark != copied:
            await self._take(replica)
        self._copied = replica.bookmark

    async def _take(self, replica: Replica) -> None:
        latest = self._store.latest()
        taking = asyncio.create_task(asyncio.to_thread(self._store.take, replica))
        try:
            await asyncio.shield(taking)
        except asyncio.CancelledError:
            await taking  # nobody may read the store while it is written
            raise
        if replica.whole or replica.latest > (latest.number if latest else 0):
            self._reload()

    async def _stop_following(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _catch_up(self, highest: int) -> None:
        """Takes what the peer has if that is newer than what we have."""
        term, latest = self._store.term(), self._store.latest()
        try:
            replica = await self._first_answer(IMPORTANT_QUESTION if highest > term else FIRST_QUESTION)
        except PeerUnreachable as error:
            if highest > term and latest:
                text = "goes on with what it knows, which may not be the latest"
                cause = f"another controller has had the switch since, and does not answer: {error}"
                self._record(text, cause, Severity.WARNING)
            else:
                severity = Severity.WARNING if isinstance(error, PeerRefuses) else Severity.INFO
                self._record("begins without the peer", str(error), severity)
            return
        if (replica.term, replica.latest) > (term, latest.number if latest else 0):
            await self._take(replica)
            await self._complete(replica.bookmark)

    async def _complete(self, copied: Bookmark) -> None:
        """Takes what is old, too, before the peer takes us for what is right."""
        try:
            while copied.before:
                replica = await self._peer.replica(copied, 0)
                await self._take(replica)
                copied = replica.bookmark
        except PeerUnreachable as error:
            text = f"lacks the history before revision {copied.before}"
            self._record(text, str(error), Severity.WARNING)

    async def _first_answer(self, patience: float) -> Replica:
        """Asks again for `patience` seconds: the peer may just begin, too. Raises PeerUnreachable."""
        problem = PeerUnreachable("it does not answer")
        try:
            async with asyncio.timeout(patience):
                while True:
                    try:
                        return await self._peer.replica(Bookmark(), 0)
                    except PeerUnreachable as error:
                        problem = error
                        await asyncio.sleep(FIRST_RETRY)
        except TimeoutError:
            raise problem from None

    def _record(self, text: str, cause: str = "", severity: Severity = Severity.INFO) -> None:
        self._events.record(Kind.DAEMON, "pair", text, cause, severity)
