"""The steps of the demonstration, in the order in which they are told."""

import math
import shlex
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from controller import config as configuration
from controller.api.client import ClientError
from controller.api.schemas import PoolView
from controller.health.settings import NoCheck
from topo import plan, preflight
from topo.demo.capture import SynWatch
from topo.demo.observer import Observer, shares
from topo.demo.screen import Screen, View
from topo.demo.summary import print_summary
from topo.demo.traffic import RATE_WINDOW, Load, Traffic
from topo.demo.verdict import FALSE_ALARM, Death, Phase, Verdict, judge
from topo.demo.watch import look
from topo.errors import LabError
from topo.lab import Lab

KILLED, ADDED, DRAINED, WEIGHED = "b2", "b5", "b1", "b3"
NEW_WEIGHT = 3

WARM_UP_SECONDS = 1.0
PATIENCE_SECONDS = 15.0
POLL_SECONDS = 0.05

WRITE_SECONDS = 1.0
"""Within this a decision of the controller is on disk and in the switch, also on a busy machine."""


class StoryFailed(LabError):
    """A step did not come to its end."""


@dataclass(frozen=True)
class Pace:
    """How many seconds traffic is watched, before anything happens and after each change; and each client's
    new connections a second."""

    steady: float = 10.0
    phase: float = 8.0
    rate: float = Load.rate


def demonstrate(lab: Lab, pace: Pace = Pace()) -> dict[str, Verdict]:
    """Run the demonstration on a lab that has just started. Returns the verdict on each pool."""
    traffics = {
        pool: Traffic(lab, {host: Load(url, pace.rate) for host, url in urls.items()}, label=pool)
        for pool, urls in plan.SERVICES.items()
    }
    observer = Observer(lab.socket, traffics)
    story = Story(lab, traffics, observer, pace, allowance=switch_over_seconds(Path(lab.record.config)))
    with Screen(story.view, RATE_WINDOW) as screen, observer.following(screen.event):
        try:
            story.tell(screen)
        except (LabError, ClientError) as error:
            failed = error if isinstance(error, LabError) else StoryFailed(f"{error}. Logs: {lab.logs}")
            failed.add_note(preflight.busy())
            raise failed from None
        finally:
            for traffic in traffics.values():
                traffic.stop()
    end = time.monotonic()
    verdicts = {
        pool: judge(
            story.phases(pool, end),
            traffic.observed.requests,
            traffic.observed.events,
            story.deaths,
            FALSE_ALARM / len(traffics),
        )
        for pool, traffic in traffics.items()
    }
    print_summary(screen.console, verdicts, story.deaths)
    held_back = sum(traffic.observed.held_back for traffic in traffics.values())
    if held_back:
        screen.say(f"The clients held back {held_back} requests: too many were waiting.")
    return verdicts


def switch_over_seconds(config: Path) -> float:
    """The switch-over time that the configuration promises when a server dies whose host still refuses
    connections: as many failed checks as it takes, an interval apart, and the write; of its slowest pool."""
    longest = 0.0
    for pool in configuration.load(config).pools:
        if isinstance(pool.health, NoCheck):
            raise StoryFailed(f"pool {pool.name} has no health checks; the demonstration needs them")
        longest = max(longest, pool.health.fall * pool.health.interval)
    return longest + WRITE_SECONDS


@dataclass
class Chapter:
    """A phase in the making: from when its change was in force, pools and clients are compared."""

    name: str
    began: float
    in_force: float = math.inf
    shares: dict[str, dict[str, float]] = field(default_factory=dict)
    """By pool and backend."""


class Story:
    """The steps; `phases` and `deaths` are what they leave for the verdict."""

    def __init__(
        self, lab: Lab, traffics: dict[str, Traffic], observer: Observer, pace: Pace, *, allowance: float
    ) -> None:
        self.lab = lab
        self.traffics = traffics
        self.observer = observer
        self.pace = pace
        self.allowance = allowance
        self.deaths: list[Death] = []
        self._chapters: list[Chapter] = []
        self._screen: Screen | None = None

    @property
    def screen(self) -> Screen:
        assert self._screen is not None, "told without a screen"
        return self._screen

    def tell(self, screen: Screen) -> None:
        self._screen = screen
        self.steady()
        self.kill_and_bring_back()
        self.add()
        self.drain()
        self.weigh()
        self._command("status")

    # The steps

    def steady(self) -> None:
        self.screen.phase("Real clients, four servers behind addresses of three modes")
        self._await("the first health checks", lambda now: all(b.health == "healthy" for b in now.backends))
        self._command("pool", "show", plan.POOL)
        self.screen.say(
            f"At each of its addresses a client opens {self.pace.rate:.0f} connections a second, one for "
            f"every request, and keeps {Load.streams} long-lived ones busy:"
        )
        for pool, traffic in self.traffics.items():
            for host, load in traffic.loads.items():
                self.screen.say(f"    {host}  {load.url}  ({pool})")
        self._chapter("steady")
        for traffic in self.traffics.values():
            traffic.start()
        time.sleep(WARM_UP_SECONDS)
        self._in_force(self.observer.pools())
        self._let_pass(self.pace.steady)

    def kill_and_bring_back(self) -> None:
        self.screen.phase(f"{KILLED} dies under load")
        with SynWatch(self.lab, KILLED) as arrivals:
            self._chapter(f"{KILLED} killed")
            self.screen.event(f"kill -9: the server process of {KILLED}")
            death = Death(KILLED, self.lab.kill_server(KILLED), self.allowance)
            self.deaths.append(death)
            self._in_force(self._await(f"{KILLED} taken out", lambda now: shares(now)[KILLED] == 0))
            death = replace(death, taken_out=time.monotonic())
            self._let_pass(self.pace.phase)
            self._command("pool", "show", plan.POOL)
            death = replace(death, last_syn=arrivals.last_before(time.monotonic(), since=death.moment))

        self.screen.phase(f"{KILLED} comes back")
        self._chapter(f"{KILLED} back")
        self.deaths[-1] = replace(death, back=time.monotonic())
        self.lab.start_server(KILLED)
        self.screen.event(f"the server process of {KILLED} runs again")
        self._in_force(self._await(f"{KILLED} in service", lambda now: shares(now)[KILLED] > 0))
        self._let_pass(self.pace.phase)

    def add(self) -> None:
        self.screen.phase("One more server")
        host = plan.Plan().host(ADDED)
        self._chapter(f"{ADDED} added")
        addresses = {
            pool: f"[{host.address6}]" if ":" in now.backends[0].address else host.address4
            for pool, now in self.observer.pools().items()
        }
        self._command_for_each(
            ("backend", "add", pool, ADDED, f"{address}:{plan.SERVICE_PORT}")
            for pool, address in addresses.items()
        )
        self._in_force(self._await(f"{ADDED} in service", lambda now: shares(now)[ADDED] > 0))
        self._let_pass(self.pace.phase)
        self._command("pool", "show", plan.POOL)

    def drain(self) -> None:
        self.screen.phase(f"{DRAINED} is drained: no new connections, the old ones stay")
        self._chapter(f"{DRAINED} drained")
        self._command_for_each(("backend", "drain", pool, DRAINED) for pool in self.traffics)
        self._in_force(self._await("the drain", lambda now: shares(now)[DRAINED] == 0))
        self._let_pass(self.pace.phase)
        staying = sum(traffic.streams()[DRAINED] for traffic in self.traffics.values())
        self.screen.say(f"{staying} long-lived connections are still served by {DRAINED}.")

    def weigh(self) -> None:
        self.screen.phase(f"{WEIGHED} gets weight {NEW_WEIGHT}")
        self._chapter(f"{WEIGHED} weight {NEW_WEIGHT}")
        before = {pool: shares(now)[WEIGHED] for pool, now in self.observer.pools().items()}
        self._command_for_each(
            ("backend", "weight", pool, WEIGHED, str(NEW_WEIGHT)) for pool in self.traffics
        )
        self._in_force(self._await("the new weight", lambda now: shares(now)[WEIGHED] > before[now.name]))
        self._let_pass(self.pace.phase)
        self._command("pool", "show", plan.POOL)

    # What is left of it

    def view(self) -> View:
        """What the screen shows now."""
        title = self._chapters[-1].name if self._chapters else "starting"
        first, *others = (
            look(title, pool, traffic, self.observer, self.deaths) for pool, traffic in self.traffics.items()
        )
        return replace(first, others=tuple(others))

    def phases(self, pool: str, end: float) -> list[Phase]:
        """The phases of one pool, which leave no gap between the first request and `end`."""
        ends = [chapter.began for chapter in self._chapters[1:]] + [end]
        return [
            Phase(chapter.name, chapter.began, chapter.in_force, ended, chapter.shares[pool])
            for chapter, ended in zip(self._chapters, ends, strict=True)
        ]

    # Inner helpers

    def _command(self, *arguments: str) -> None:
        """What an operator would type, and what it answers."""
        self.screen.command(shlex.join(["sluice", *arguments]))
        self.screen.answer(self.lab.sluice(*arguments))

    def _command_for_each(self, commands: Iterable[tuple[str, ...]]) -> None:
        """One for each pool, at the same time, as it takes a process each."""
        commands = list(commands)
        for command in commands:
            self.screen.command(shlex.join(["sluice", *command]))
        with ThreadPoolExecutor() as together:
            for said in together.map(lambda words: self.lab.sluice(*words), commands):
                self.screen.answer(said)

    def _chapter(self, name: str) -> None:
        """A new phase begins, and the one before it ends."""
        self._chapters.append(Chapter(name, time.monotonic()))

    def _in_force(self, pools: dict[str, PoolView]) -> None:
        """From now until the next phase each backend's share is what `pools` say."""
        self._chapters[-1].shares = {name: shares(pool) for name, pool in pools.items()}
        self._chapters[-1].in_force = time.monotonic()

    def _let_pass(self, seconds: float) -> None:
        """Watch the traffic for a while."""
        time.sleep(seconds)
        dead = [host for traffic in self.traffics.values() for host in traffic.dead_clients()]
        if dead:
            raise StoryFailed(f"the client on {', '.join(dead)} ended by itself. Logs: {self.lab.logs}")

    def _await(self, what: str, condition: Callable[[PoolView], bool]) -> dict[str, PoolView]:
        """Wait until all pools fulfil the condition; returns them."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            pools = self.observer.pools()
            if all(map(condition, pools.values())):
                return pools
            if time.monotonic() > deadline:
                raise StoryFailed(f"{what}: not within {PATIENCE_SECONDS:.0f} s. Logs: {self.lab.logs}")
            time.sleep(POLL_SECONDS)
