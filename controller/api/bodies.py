"""JSON bodies, read as strictly as documents: one value for each key, UTF-8, nesting within reason."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


class StrictRequest(Request):
    async def json(self) -> Any:
        """Raises json.JSONDecodeError for whatever cannot be read."""
        body = await self.body()
        try:
            return json.loads(body.decode(), object_pairs_hook=_object)
        except json.JSONDecodeError:
            raise
        except UnicodeDecodeError as error:
            raise _refused(f"not UTF-8 text (byte {error.start})") from None
        except RecursionError:
            raise _refused("it is nested too deeply") from None
        except ValueError as error:  # a repeated key, a number of thousands of digits
            raise _refused(str(error)) from None


class StrictRoute(APIRoute):
    """A route whose body is read so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(StrictRequest(request.scope, request.receive))

        return strict


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {repeated!r} stands twice in the same object")
    return made


def _refused(why: str) -> json.JSONDecodeError:
    return json.JSONDecodeError(why, "", 0)
