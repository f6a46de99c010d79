"""`sluice daemon`"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from controller.api.client import Remote
from controller.cli.options import Socket
from controller.cli.place import DEFAULT_SOCKET

DEFAULT_STORE = Path("/var/lib/sluice/sluice.db")
DEFAULT_CHECKS = Path("/etc/sluice/checks")


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    HUMAN = "human"
    JSON = "json"


def daemon(
    config: Annotated[
        Path, typer.Option("--config", "-c", show_default=False, help="The configuration, YAML.")
    ],
    socket: Socket = DEFAULT_SOCKET,
    group: Annotated[
        str | None,
        typer.Option("--group", show_default=False, help="Who may use the socket, beside its owner."),
    ] = None,
    store: Annotated[
        Path, typer.Option("--store", help="Where revisions, identities and buckets are kept.")
    ] = DEFAULT_STORE,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            metavar="HOST:PORT",
            show_default=False,
            help="Serve the API by TCP as well; needs --certificate, --key and --tokens.",
        ),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", show_default=False, help="For --listen, PEM.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", show_default=False, help="For --listen, PEM, without a password.")
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(
            "--tokens", show_default=False, help="For --listen: who may, a line of `sluice api token` each."
        ),
    ] = None,
    switch_ca: Annotated[
        Path | None,
        typer.Option(
            "--switch-ca",
            show_default=False,
            help="Speak TLS to the switch; who signed its certificate, PEM.",
        ),
    ] = None,
    switch_certificate: Annotated[
        Path | None,
        typer.Option(
            "--switch-certificate", show_default=False, help="Ours, for a switch that asks for one, PEM."
        ),
    ] = None,
    switch_key: Annotated[
        Path | None,
        typer.Option("--switch-key", show_default=False, help="Its key, PEM, without a password."),
    ] = None,
    peer: Annotated[
        str | None,
        typer.Option(
            "--peer",
            metavar="SOCKET|URL",
            show_default=False,
            help="The API of a second controller of the same switch, such as https://lb2.example:9443: "
            "one of the two stands by.",
        ),
    ] = None,
    peer_token_file: Annotated[
        Path | None,
        typer.Option(
            "--peer-token-file",
            show_default=False,
            help="For --peer URL: the file that holds our token there, with the role peer.",
        ),
    ] = None,
    peer_ca_file: Annotated[
        Path | None,
        typer.Option(
            "--peer-ca-file",
            show_default=False,
            help="For --peer URL: who signed its certificate (PEM), if the system does not know them.",
        ),
    ] = None,
    log_level: Annotated[LogLevel, typer.Option("--log-level", help="What to log.")] = LogLevel.INFO,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", help="For people, or a JSON object for each line.")
    ] = LogFormat.HUMAN,
    checks: Annotated[
        Path, typer.Option("--checks", help="The folder of the programs that exec checks may run.")
    ] = DEFAULT_CHECKS,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether it would start; touch nothing.")
    ] = False,
) -> None:
    """Run the controller until SIGTERM or Ctrl-C.

    The file is what the first start begins with. Changes made since, by commands, are in the store and stay
    in force at the next start, unless the file itself has changed: then the file is applied. SIGHUP has the
    file, the tokens and the certificate read again in the same way. Ending the daemon does not disturb the
    switch, which goes on forwarding.
    """
    from controller import daemon  # brings the server and P4Runtime, which no other command needs
    from controller.api.listening import TcpOptions
    from controller.credentials import SwitchTls

    of_tcp = {"--certificate": certificate, "--key": key, "--tokens": tokens}
    _belong("--listen", listen, of_tcp)
    _belong(
        "--switch-ca", switch_ca, {"--switch-certificate": switch_certificate, "--switch-key": switch_key}
    )
    options = daemon.Options(
        config,
        socket,
        store,
        log_level,
        checks,
        log_format,
        group,
        TcpOptions(listen, certificate, key, tokens) if listen else None,
        SwitchTls(switch_ca, switch_certificate, switch_key) if switch_ca else None,
        _peer(peer, peer_token_file, peer_ca_file),
    )
    raise typer.Exit(daemon.check(options) if check else daemon.run(options))


def _peer(place: str | None, token_file: Path | None, authority: Path | None) -> Path | Remote | None:
    """Raises BadParameter for a URL without a token, and for a token without a URL."""
    if place and "://" in place:
        if not token_file:
            raise typer.BadParameter(f"--peer {place} needs a token: name its file with --peer-token-file")
        return Remote(place, token_file, authority)
    of_url = {"--peer-token-file": token_file, "--peer-ca-file": authority}
    _belong("--peer https://HOST:PORT", None, of_url)
    return Path(place) if place else None


def _belong(option: str, value: object, parts: dict[str, Path | None]) -> None:
    """Raises BadParameter for options that mean nothing without another one."""
    given = [name for name, part in parts.items() if part]
    if given and not value:
        raise typer.BadParameter(f"{' and '.join(given)}: only together with {option}, which is missing")


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sluice daemon -c sluice.yaml --socket /run/sluice/sluice.sock")(daemon)
