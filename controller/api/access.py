"""Who may do what by TCP: nothing without a token, and nothing but looking with one that is for reading.

The unix socket is guarded by its file's mode, so an application for it goes without this.
"""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from controller.api.refusals import answer
from controller.api.schemas import Refusal
from controller.api.tokens import Caller, Role, Tokens

LOOKING = ("GET", "HEAD")

CHALLENGE = {"www-authenticate": 'Bearer realm="sluice"'}
"""RFC 6750, section 3."""


class Access:
    """Lets those pass whose token allows what they ask for, before anything of the body is read.

    `tokens` may be replaced while it serves. Who asks is in the request's state as `caller`.
    """

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens

    def around(self, app: ASGIApp) -> ASGIApp:
        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            caller = self._caller(scope)
            if isinstance(caller, Refusal):
                await answer(HTTPStatus.UNAUTHORIZED, caller, CHALLENGE)(scope, receive, send)
            elif caller.role is Role.READ and scope["method"] not in LOOKING:
                await answer(HTTPStatus.FORBIDDEN, _may_not(caller, scope))(scope, receive, send)
            else:
                scope.setdefault("state", {})["caller"] = caller
                await app(scope, receive, send)

        return guarded

    def _caller(self, scope: Scope) -> Caller | Refusal:
        kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            return Refusal(
                error="a token is needed here",
                where="Authorization",
                hint="send `Authorization: Bearer TOKEN`, or give the command --token-file",
            )
        return self.tokens.caller(token.strip()) or Refusal(
            error="this token is not known here",
            where="Authorization",
            hint="`sluice api token NAME` makes one; its line goes into the daemon's file of tokens",
        )


def _may_not(caller: Caller, scope: Scope) -> Refusal:
    return Refusal(
        error=f"the token of {caller.name} is for reading",
        where=f"{scope['method']} {scope['path']}",
        hint="a change needs a token with the role write",
    )
