"""Certificates for tests, made by openssl."""

import subprocess
from pathlib import Path


def make_certificate(folder: Path, name: str, signer: str | None = None) -> tuple[Path, Path]:
    """(certificate, key) for 127.0.0.1 in the folder. Without a signer: an authority of its own."""
    key, request, certificate = (folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
    subject = ["-subj", f"/CN={name}", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    if signer is None:
        run("req", "-x509", *subject, "-keyout", key, "-out", certificate, "-days", "2")
        return certificate, key
    run("req", *subject, "-keyout", key, "-out", request)
    extensions = folder / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    authority = ["-CA", folder / f"{signer}.pem", "-CAkey", folder / f"{signer}.key", "-CAcreateserial"]
    run("x509", "-req", "-in", request, *authority, "-out", certificate, "-days", "2", "-extfile", extensions)
    return certificate, key


def make_certificates(folder: Path) -> Path:
    """An authority, what it signed, and another authority with a client of its own, in the folder."""
    for name, signer in (
        ("authority", None),
        ("switch", "authority"),
        ("controller", "authority"),
        ("stranger", None),
        ("intruder", "stranger"),
    ):
        make_certificate(folder, name, signer)
    return folder


def run(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
