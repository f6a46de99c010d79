"""`sluice api ...`: the API's description, and tokens for it."""

import json
from typing import Annotated

import typer

from controller.api.tokens import Role, digest, is_name, new_token
from controller.cli.options import group
from controller.cli.output import line

app = group("The API: its description, and tokens for it.")


@app.command(epilog="Example: sluice api openapi > openapi.json")
def openapi() -> None:
    """Print the API's description, an OpenAPI document. No daemon is needed."""
    from controller.api.app import describe  # brings the server, which no other command needs

    print(json.dumps(describe(), indent=2, ensure_ascii=False))


@app.command(epilog="Example: sluice api token prometheus >> tokens")
def token(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="Whose: for the history.")],
    role: Annotated[
        Role, typer.Option("--role", help="Look, change as well, or be a pair's other one.")
    ] = Role.READ,
) -> None:
    """Make a token for the API by TCP.

    The line for the daemon's file of tokens goes to standard output; it holds only a digest. The token itself
    is shown once, on standard error.
    """
    if not is_name(name):
        raise typer.BadParameter(f"{name!r} must be at most 63 letters, digits and ._@-, to be a name")
    made = new_token()
    print(f"{name} {role} {digest(made)}")
    line(f"The token, for a file of {name}'s with mode 600: {made}", error=True)
