"""How much a switch can do: the load is raised until more brings no more."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.traffic import Trial

AS_MANY_AS_WILL_GO = 0.0
STEP = 1.2  # from one load to the next
KEEPS_UP = 0.9  # a switch that delivers less of the load than this is beyond what it can do...
PATIENCE = 3  # ...if it does so as often as this in a row: a busy machine may spoil a trial
LOSS_FREE = 0.001  # at most this share is lost


@dataclass(frozen=True)
class Capacity:
    """In packets a second.

    throughput: the most that came out, whatever was lost.
    loss_free: the highest load of which at most 0.1 % was lost; 0 if every load that was tried lost more.
    """

    throughput: float
    loss_free: float
    trials: tuple[Trial, ...]


def capacity(drive: Callable[[float], Trial]) -> Capacity:
    """drive: offers a load in packets a second.

    A switch that shares its cores with the generator may do less under the heaviest load than under a lighter
    one, so the search begins at half of that and goes upwards.
    """
    heaviest = drive(AS_MANY_AS_WILL_GO)
    trials = [heaviest]
    load = heaviest.delivered / 2
    behind = 0
    while behind < PATIENCE and load < heaviest.offered:
        trial = drive(load)
        trials.append(trial)
        behind = 0 if trial.delivered >= KEEPS_UP * trial.offered else behind + 1
        load *= STEP
    return Capacity(
        throughput=max(trial.delivered for trial in trials),
        loss_free=max((trial.offered for trial in trials if trial.lost <= LOSS_FREE), default=0.0),
        trials=tuple(trials),
    )
