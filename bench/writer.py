"""A P4Runtime client in a process of its own: sends ready-made WriteRequests, and says how long that took.

    python -m bench.writer ADDRESS FILE

ADDRESS: of the switch, as gRPC has it. FILE: a pickled list of `Phase`. The phases come in their order, over
and over until the standard input ends, but all of them at least once. Prints a JSON list of the seconds of
each time for each phase. The requests carry an election id, of a primary that is connected already.
"""

import json
import pickle
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import grpc

WRITE = "/p4.v1.P4Runtime/Write"


@dataclass(frozen=True)
class Phase:
    """Serialised WriteRequests, one after the other, each sent when the one before is answered."""

    name: str
    updates: int
    """In all of them."""
    requests: tuple[bytes, ...]


def main() -> None:
    address, file = sys.argv[1:]
    phases: list[Phase] = pickle.loads(Path(file).read_bytes())
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    seconds: list[list[float]] = [[] for _ in phases]
    with grpc.insecure_channel(address) as channel:
        write = channel.unary_unary(WRITE)
        grpc.channel_ready_future(channel).result()
        while not seconds[0] or not ended.is_set():
            for phase, taken in zip(phases, seconds, strict=True):
                begun = time.perf_counter()
                for request in phase.requests:
                    write(request)
                taken.append(time.perf_counter() - begun)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
