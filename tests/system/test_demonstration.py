"""The demonstration itself, told faster: every promise holds."""

import pytest

from tests.system.conftest import BOTH_TARGETS, running_lab
from topo import plan
from topo.demo.story import ADDED, KILLED, Pace, demonstrate

pytestmark = pytest.mark.root

SERVERS = tuple(backend.name for backend in plan.Plan().backends)


@pytest.mark.parametrize("target", BOTH_TARGETS)
def test_every_promise_holds(target: str) -> None:
    with running_lab(target, plan.CONFIG, SERVERS) as lab:
        verdicts = demonstrate(lab, Pace(steady=3, phase=3, rate=15))
    broken = [(pool, promise) for pool, of in verdicts.items() for promise in of.promises if not promise.held]
    assert broken == []
    results = [result for verdict in verdicts.values() for result in verdict.results]
    ended = sum(result.ended_with_server for result in results if result.phase.name == f"{KILLED} killed")
    assert ended > 0, "the dead server had some of all these long-lived connections"
    added = [result.shares[ADDED].measured for result in results if result.phase.name == f"{ADDED} added"]
    assert len(added) == len(verdicts) and all(share > 0 for share in added)
