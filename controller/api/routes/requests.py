"""What the routes share: the controller, who asks, names in paths."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Header, Path, Query, Request

from controller.api.schemas import USER_HEADER
from controller.controller import Controller
from controller.errors import InvalidConfig, Problem

MAX_NAME = 63
"""Letters of a name, as the configuration has them."""


def _controller(request: Request) -> Controller:
    return request.app.state.controller


TheController = Annotated[Controller, Depends(_controller)]


def _user(
    request: Request,
    quoted: Annotated[
        str,
        Header(
            alias=USER_HEADER,
            max_length=200,
            description="Who asks, for the history; percent-encoded. By TCP the token's name counts.",
            examples=["alice"],
        ),
    ] = "api",
) -> str:
    """Who asks for a change. Raises InvalidConfig when that is no name."""
    caller = getattr(request.state, "caller", None)
    if caller:
        return caller.name
    name = unquote(quoted)
    if not name.isprintable():
        raise InvalidConfig([Problem(USER_HEADER, "must be a name, without control characters")])
    return name


User = Annotated[str, Depends(_user)]
PoolName = Annotated[str, Path(max_length=MAX_NAME, description="The pool's name.", examples=["web"])]
BackendName = Annotated[str, Path(max_length=MAX_NAME, description="The backend's name.", examples=["b1"])]
VipName = Annotated[str, Path(max_length=MAX_NAME, description="The VIP's name.", examples=["web"])]
DryRun = Annotated[bool, Query(description="Only say what would change, and change nothing.")]
