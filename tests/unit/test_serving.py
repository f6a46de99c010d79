"""Who serves: the table of decisions, and slow start in time."""

from ipaddress import ip_address

import pytest

from controller.model import Backend, Pool, State
from controller.serving import STEPS, Candidate, decide, next_step, steps_taken

UP, DOWN = True, False


def candidates(*described: str) -> list[Candidate]:
    """`a+` is up, `b-` down; `c1+` in tier 1; `d+drain` drains; `e+*0` has weight 0."""
    found = []
    for number, text in enumerate(described, 11):
        name, rest = text[0], text[1:]
        tier, rest = (int(rest[0]), rest[1:]) if rest[0].isdecimal() else (0, rest)
        up, rest = rest[0] == "+", rest[1:]
        weight = int(rest[1:]) if rest.startswith("*") else 1
        state = State(rest) if rest and not rest.startswith("*") else State.ACTIVE
        address = ip_address(f"10.0.1.{number}")
        backend = Backend(name=name, address=address, tier=tier, weight=weight, state=state)
        found.append(Candidate(backend, up))
    return found


# the backends, settings of the pool; who serves, who waits next, who stays in the tables, and what is said
DECISIONS = [
    ("all are well", "a+ b+", {}, "ab", "", "ab", ""),
    ("who is down does not serve", "a+ b-", {}, "a", "", "a", ""),
    ("nobody is left", "a- b-", {}, "", "", "", ""),
    ("who drains stays", "a+ b+drain", {}, "a", "", "ab", ""),
    ("weight 0 is a drain", "a+ b+*0", {}, "a", "", "ab", ""),
    ("who is disabled is out", "a+ b+disabled", {}, "a", "", "a", ""),
    # tiers
    ("backups wait", "a+ b+ c1+", {}, "ab", "c", "abc", ""),
    ("backups serve when nobody else does", "a- b- c1+ d1+", {}, "cd", "", "cd", "tier 1"),
    ("also when the others drain", "a+drain c1+", {}, "c", "", "ac", "tier 1"),
    ("one is enough, by default", "a+ b- c1+", {}, "a", "c", "ac", ""),
    ("tiers join until there are enough", "a+ b- c1+ d2+", {"tier_minimum": 2}, "ac", "d", "acd", "tier 1"),
    ("as many tiers as it takes", "a+ c1- d2+", {"tier_minimum": 2}, "ad", "", "ad", "tier 2"),
    ("all of them, if there are not enough", "a+ c1+", {"tier_minimum": 9}, "ac", "", "ac", "tier 1"),
    ("a tier with nobody is none", "c3+ d5+", {}, "c", "d", "cd", "tier 3"),
    # panic
    ("as many as the threshold are no panic", "a+ b-", {"panic": 0.5}, "a", "", "a", ""),
    ("fewer are", "a+ b- c-", {"panic": 0.5}, "abc", "", "abc", "panic"),
    ("nobody at all is, at any threshold", "a- b-", {"panic": 0.01}, "ab", "", "ab", "panic"),
    ("nobody at all is none without one", "a- b-", {"panic": 0.0}, "", "", "", ""),
    ("who may not serve does not count", "a+ b-drain c-disabled d-*0", {"panic": 1.0}, "a", "", "a", ""),
    ("in panic who drains stays, up or not", "a- b-drain", {"panic": 0.5}, "a", "", "ab", "panic"),
    ("and who is disabled does not", "a- b-disabled", {"panic": 0.5}, "a", "", "a", "panic"),
    (
        "backups that are well keep a pool from panic",
        "a- b- c1+ d1+",
        {"panic": 0.5},
        "cd",
        "",
        "cd",
        "tier 1",
    ),
    ("in panic all tiers serve", "a- b- c1+ d1-", {"panic": 0.5}, "abcd", "", "abcd", "panic tier 1"),
    ("a pool without backends does not panic", "", {"panic": 1.0}, "", "", "", ""),
]


@pytest.mark.parametrize(("shows", "backends", "settings", "serve", "wait", "present", "said"), DECISIONS)
def test_who_serves(
    shows: str, backends: str, settings: dict[str, object], serve: str, wait: str, present: str, said: str
) -> None:
    roles = decide(Pool(name="web").model_copy(update=settings), candidates(*backends.split()))
    assert "".join(name for name, _ in roles.weights) == serve, shows
    assert "".join(name for name, _ in roles.reserve) == wait, shows
    assert "".join(sorted(roles.present)) == present, shows
    found = ["panic"] * roles.panic + [f"tier {roles.tier}"] * bool(roles.tier)
    assert " ".join(found) == said, shows


def test_weights_are_those_configured_times_the_steps() -> None:
    a, b = candidates("a+*3", "b+*5")
    roles = decide(Pool(name="web"), [a, Candidate(b.backend, True, steps=2)])
    assert roles.weights == (("a", 3 * STEPS), ("b", 5 * 2))
    assert roles.slow == (("b", 2),)


def test_a_slow_start_goes_up_in_equal_steps_the_first_of_them_at_once() -> None:
    taken = [steps_taken(1000.0, 1000.0 + second, 20.0) for second in range(22)]
    assert taken == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 10, 10]


def test_when_the_next_step_is_due() -> None:
    assert next_step(1000.0, 1003.0, 20.0) == 1004.0
    assert next_step(1000.0, 1018.0, 20.0) is None, "the last one has been taken"


@pytest.mark.parametrize(
    ("came", "now", "slow_start"),
    [(None, 1000.0, 20.0), (1000.0, 1000.0, 0.0), (1000.0, 999.0, 20.0), (1000.0, 1020.0, 20.0)],
    ids=["it was there all along", "no slow start", "the clock was set back", "it is over"],
)
def test_who_has_his_whole_weight(came: float | None, now: float, slow_start: float) -> None:
    assert steps_taken(came, now, slow_start) == STEPS
    assert next_step(came, now, slow_start) is None
