"""How gRPC's core works in the switch's process: to be said before anything of gRPC is imported.

By its own choice a thread of its own reads what comes in, hands it to a second, and that wakes the one that
waits for it. Here whoever waits reads for itself, so that a call is heard of without a change of threads
(switch/server/busy_poll.py). Both variables are gRPC's own (doc/environment_variables.md there); a release
that no longer knows one goes on as it likes best, and somebody who has set one keeps what he has set.
"""

import os

POLLING = {"GRPC_EXPERIMENTS": "-event_engine_listener", "GRPC_POLL_STRATEGY": "poll"}

QUIET = {"GRPC_VERBOSITY": "NONE"}
"""On standard error it would only repeat, in terms of its source, what the switch says itself."""


def prepare() -> None:
    for name, value in {**POLLING, **QUIET}.items():
        os.environ.setdefault(name, value)
