"""TLS to the switch: whom to trust, and as whom to come."""

from dataclasses import dataclass
from pathlib import Path

import grpc

from controller.errors import StartError, Unreachable


@dataclass(frozen=True, slots=True)
class SwitchTls:
    """Files (PEM), read anew for each connection, so that renewed certificates are taken without a restart.

    `authority` has signed the switches' certificates; `certificate` and `key` are the controller's own, for
    switches that ask for one.
    """

    authority: Path
    certificate: Path | None = None
    key: Path | None = None

    def check(self) -> None:
        """Raises StartError when something is missing."""
        if (self.certificate is None) != (self.key is None):
            raise StartError("--switch-certificate and --switch-key belong together: name both, or neither")
        for option, file in (
            ("--switch-ca", self.authority),
            ("--switch-certificate", self.certificate),
            ("--switch-key", self.key),
        ):
            if file:
                try:
                    _pem(file)
                except Unreachable as error:
                    raise StartError(f"{option}: {error}") from None

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises Unreachable when a file cannot be read."""
        certificate, key = (_pem(file) if file else None for file in (self.certificate, self.key))
        return grpc.ssl_channel_credentials(_pem(self.authority), key, certificate)


def explained(reason: str, tls: SwitchTls | None) -> str:
    """What gRPC says of a connection that was not made, for those who do not know its sources."""
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return (
            "its certificate is not accepted: it is of another authority than --switch-ca, "
            "for another address, or its time is over"
        )
    if "WRONG_VERSION_NUMBER" in reason:
        return "it does not speak TLS: leave --switch-ca out, or have it serve with --grpc-server-ssl"
    if reason.endswith("Socket closed"):
        wants = "a certificate of ours that it trusts" if tls else "TLS (--switch-ca)"
        return f"it hung up; does it want {wants}?"
    return reason


def _pem(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Unreachable(f"{file} cannot be read: {error.strerror}") from None
    if b"-----BEGIN " not in content:
        raise Unreachable(f"{file} is no PEM file")
    return content
