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
        verdicts = demonstrate(lab, Pace(steady=3, phase=3))
    broken = [(pool, promise) for pool, of in verdicts.items() for promise in of.promises if not promise.held]
    assert broken == []
    phases = {result.phase.name: result for result in verdicts[plan.POOL].results}
    assert phases[f"{KILLED} killed"].ended_with_server > 0, "the dead server had long-lived connections"
    assert phases[f"{ADDED} added"].shares[ADDED].measured > 0
