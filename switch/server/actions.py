"""Actions between P4Runtime and the engine: their parameters by id, the engine's by place."""

from collections.abc import Sequence

from finsy.proto import p4r

from switch.entries import Table
from switch.p4info import Action, ActionChoice
from switch.server.status import invalid
from switch.server.values import decode, encode


class ActionCodec:
    """Translates one action of one table."""

    def __init__(self, choice: ActionChoice, table: Table) -> None:
        self.choice = choice
        self.action: Action = choice.action
        self.name = self.action.name
        widths = [param.bits for param in table.actions[self.name]]
        self._params = {
            param.id: (position, bits, f"{self.name}: parameter {param.name}")
            for position, (param, bits) in enumerate(zip(self.action.params, widths, strict=True))
        }
        self._ids = [param.id for param in self.action.params]

    def decode(self, params: Sequence[p4r.Action.Param]) -> tuple[int, ...]:
        """The values in the action's order. Raises RequestError."""
        values: list[int | None] = [None] * len(self._ids)
        for param in params:
            known = self._params.get(param.param_id)
            if known is None:
                raise invalid(f"{self.name} has no parameter with id {param.param_id}")
            position, bits, what = known
            if values[position] is not None:
                raise invalid(f"{what} is given twice")
            values[position] = decode(param.value, bits, what)
        if None in values:
            raise invalid(f"{self.name}: parameter {self.action.params[values.index(None)].name} is missing")
        return tuple(values)  # type: ignore[arg-type]  # no None is left

    def encode(self, data: Sequence[int]) -> p4r.Action:
        return p4r.Action(
            action_id=self.action.id,
            params=[
                p4r.Action.Param(param_id=id, value=encode(value))
                for id, value in zip(self._ids, data, strict=True)
            ],
        )
