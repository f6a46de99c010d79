"""How much of the processors somebody else takes while something is measured.

    with Elsewhere() as elsewhere:
        ...
    elsewhere.share  # 0.25: a quarter of all processors' time

Somebody else is another process of this machine, or another machine on the same processors ("steal"). What
the kernel does in threads of its own is not: it does so for the packets that are measured, too.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PROC = Path("/proc")
KERNEL_THREAD = 0x0020_0000
"""PF_KTHREAD of include/linux/sched.h."""


@dataclass(frozen=True, slots=True)
class Process:
    """ticks: of a processor, its children's too that have ended."""

    number: int
    parent: int
    kernel: bool
    ticks: int

    @classmethod
    def parse(cls, stat: str) -> Self:
        """From /proc/PID/stat (proc(5)). The name in it may be anything."""
        number, _, rest = stat.partition(" ")
        fields = rest.rpartition(")")[2].split()
        kernel = bool(int(fields[6]) & KERNEL_THREAD)
        return cls(int(number), int(fields[1]), kernel, sum(map(int, fields[11:15])))


@dataclass(frozen=True, slots=True)
class Ticks:
    """Since the machine began, of all processors together.

    busy: by processes and threads of the kernel. own: by a process and all that it has started.
    """

    total: int
    busy: int
    stolen: int
    kernel: int
    own: int

    @classmethod
    def now(cls, own: int, proc: Path = PROC) -> Self:
        """own: the process."""
        first, *_ = (proc / "stat").read_text().splitlines()
        user, nice, system, *waiting, stolen = map(int, first.split()[1:9])
        processes = list(_processes(proc))
        return cls(
            total=sum((user, nice, system, *waiting, stolen)),
            busy=user + nice + system,
            stolen=stolen,
            kernel=sum(one.ticks for one in processes if one.kernel),
            own=sum(one.ticks for one in _descendants(processes, own)),
        )

    def others_since(self, since: "Ticks") -> float:
        """The share of all processors that other processes have taken."""
        ours = self.own - since.own + self.kernel - since.kernel
        return self._share(max(self.busy - since.busy - ours, 0), since)

    def stolen_since(self, since: "Ticks") -> float:
        """The share that other machines have taken."""
        return self._share(self.stolen - since.stolen, since)

    def _share(self, ticks: int, since: "Ticks") -> float:
        total = self.total - since.total
        return ticks / total if total else 0.0


def _processes(proc: Path) -> Iterator[Process]:
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            try:
                yield Process.parse((folder / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended


def _descendants(processes: Sequence[Process], root: int) -> list[Process]:
    """With the root itself."""
    children: dict[int, list[Process]] = {}
    for one in processes:
        children.setdefault(one.parent, []).append(one)
    found = [one for one in processes if one.number == root]
    for one in found:
        found += children.get(one.number, [])
    return found


class Elsewhere:
    """share: of the time of the `with`, once it has ended."""

    def __init__(self, *, before_others: bool = False) -> None:
        """before_others: whether this process and what it starts come before all others of this machine."""
        self.share = 0.0
        self._before_others = before_others

    def __enter__(self) -> Self:
        self._began = Ticks.now(os.getpid())
        return self

    def __exit__(self, *_exception: object) -> None:
        ended = Ticks.now(os.getpid())
        self.share = ended.stolen_since(self._began)
        if not self._before_others:
            self.share += ended.others_since(self._began)
