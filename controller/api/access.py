"""Who may do what by TCP: nothing without a token, and with one what its role allows.

Copying the store is not looking: who asks for it counts as the standby, whom changes wait for.

The unix socket is guarded by its file's mode, so an application for it goes without this.
"""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from controller.api.refusals import answer
from controller.api.schemas import Refusal
from controller.api.tokens import Caller, Role, Tokens

LOOKING = ("GET", "HEAD")

REPLICA = "/v1/replica"
"""What the other one of a pair asks for, and nothing else."""

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
            elif refusal := _may_not(caller, scope):
                await answer(HTTPStatus.FORBIDDEN, refusal)(scope, receive, send)
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


def _may_not(caller: Caller, scope: Scope) -> Refusal | None:
    """Why the caller's role does not allow what is asked for; None if it does."""
    copies, looks = scope["path"] == REPLICA, scope["method"] in LOOKING
    match caller.role:
        case Role.READ if copies:
            purpose, hint = "reading", "the other controller of a pair needs a token with the role peer"
        case Role.READ if not looks:
            purpose, hint = "reading", "a change needs a token with the role write"
        case Role.PEER if not (copies and looks):
            purpose, hint = (
                "the other controller of a pair",
                "anything else needs one with the role read or write",
            )
        case _:
            return None
    return Refusal(
        error=f"the token of {caller.name} is for {purpose}",
        where=f"{scope['method']} {scope['path']}",
        hint=hint,
    )
