"""Brings what the project needs: Debian packages, and the virtual environments with their locked packages.

    python3.11 -m topo.install            .venv: the project, its tests and checks
    python3.11 -m topo.install --p4sh     .venv-p4sh too: p4runtime-shell, which needs an old protobuf

Only the standard library is used. When everything is there already it ends at once; a second one that runs at
the same time waits for the first. A new virtual environment that could not be completed is removed again.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PYTHON = (3, 11)
DEBIAN_MININET = Path("/usr/lib/python3/dist-packages/mininet")
STAMP = "installed"
PACKAGES_TIMEOUT = "120"  # seconds to wait for somebody else's apt-get


class InstallError(Exception):
    """What could not be installed, and what to do."""


@dataclass(frozen=True)
class Need:
    """A Debian package, and the program or file by which we see that it is there."""

    package: str
    program: str = ""
    file: str = ""

    def met(self) -> bool:
        return bool(shutil.which(self.program)) if self.program else Path(self.file).exists()


NEEDS = (
    Need("iproute2", program="ip"),
    Need("ethtool", program="ethtool"),
    Need("util-linux", program="nsenter"),
    Need("iputils-ping", program="ping"),
    Need("mininet", program="mnexec"),
    Need("mininet", file=str(DEBIAN_MININET)),
    Need("gcc", program="gcc"),
    Need("libc6-dev", file="/usr/include/stdio.h"),
)


@dataclass(frozen=True)
class Environment:
    """A virtual environment and the lock file that says what is in it."""

    folder: str
    lock: str
    with_project: bool

    @property
    def path(self) -> Path:
        return PROJECT / self.folder

    @property
    def python(self) -> str:
        return str(self.path / "bin" / "python")

    @property
    def packages(self) -> Path:
        return self.path / "lib" / f"python{PYTHON[0]}.{PYTHON[1]}" / "site-packages"

    def digest(self) -> str:
        """Changes when anything that the environment was made from changes."""
        made_from = [PROJECT / self.lock, PROJECT / "pyproject.toml", Path(__file__)]
        content = b"\0".join(path.read_bytes() for path in made_from)
        return hashlib.sha256(content + sys.version.encode() + str(PROJECT).encode()).hexdigest()


MAIN = Environment(".venv", "requirements/venv.txt", with_project=True)
P4SH = Environment(".venv-p4sh", "requirements/p4sh.txt", with_project=False)


def install_packages() -> None:
    """Install the Debian packages that are missing. Raises InstallError."""
    missing = sorted({need.package for need in NEEDS if not need.met()})
    if find_spec("ensurepip") is None or find_spec("venv") is None:
        missing.append(f"python{PYTHON[0]}.{PYTHON[1]}-venv")
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if shutil.which("apt-get") is None:
        raise InstallError(f"these Debian packages (or their like) are missing: {' '.join(missing)}")
    if os.geteuid() != 0:
        raise InstallError(f"Debian packages are missing. Run as root: {' '.join(command)}")
    print(f"Installing Debian packages: {' '.join(missing)}", flush=True)
    wait = ["-o", f"DPkg::Lock::Timeout={PACKAGES_TIMEOUT}"]
    remedy = "Is the machine connected to a Debian mirror (/etc/apt/sources.list)?"
    _run(["apt-get", *wait, "update"], remedy)
    _run([command[0], *wait, *command[1:]], remedy)
    unmet = [need.package for need in NEEDS if not need.met()]
    if unmet:
        raise InstallError(f"installed, but not found afterwards: {' '.join(unmet)}")


def install_environments(environments: Sequence[Environment]) -> None:
    """All at once. Raises the first InstallError when all have ended."""
    with ThreadPoolExecutor() as side_by_side:
        for done in [side_by_side.submit(install_environment, one) for one in environments]:
            done.result()


def install_environment(environment: Environment) -> None:
    """Make or complete a virtual environment. Raises InstallError."""
    stamp = environment.path / STAMP
    digest = environment.digest()
    if stamp.exists() and stamp.read_text() == digest and _same_python(environment):
        return
    print(f"Preparing {environment.folder} from {environment.lock} (a minute or two)", flush=True)
    if environment.path.exists() and not _same_python(environment):
        shutil.rmtree(environment.path)
    new = not environment.path.exists()
    try:
        _fill(environment)
    except BaseException:
        if new:
            shutil.rmtree(environment.path, ignore_errors=True)
        raise
    stamp.write_text(digest)


def _fill(environment: Environment) -> None:
    pip = [environment.python, "-m", "pip", "--disable-pip-version-check", "install", "--no-input"]
    remedy = "Is the machine connected to a Python package index?"
    _run([sys.executable, "-m", "venv", str(environment.path)], "See what python says above.")
    # The lock file names all that is needed.
    _run([*pip, "--no-deps", "--no-compile", "--require-hashes", "-r", environment.lock], remedy)
    _compile(environment)
    if environment.with_project:
        _run([*pip, "--no-deps", "--no-build-isolation", "--editable", "."], "See what pip says above.")
        _link_mininet(environment)


def _compile(environment: Environment) -> None:
    """As pip does, but with all processors; files that are not of this version of Python stay as they are."""
    compiling = [environment.python, "-m", "compileall", "-q", "-q", "-j", "0", str(environment.packages)]
    subprocess.run(compiling, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _link_mininet(environment: Environment) -> None:
    """Make Debian's Mininet, and nothing else of Debian's Python packages, importable."""
    link = environment.packages / DEBIAN_MININET.name
    link.unlink(missing_ok=True)
    link.symlink_to(DEBIAN_MININET)


def _same_python(environment: Environment) -> bool:
    """Whether the environment works and is of the version of Python that runs us."""
    try:
        result = subprocess.run(
            [environment.python, "-c", "import sys; print(sys.version)"], capture_output=True, text=True
        )
    except OSError:
        return False
    return result.stdout.strip() == sys.version


def _run(command: Sequence[str], remedy: str) -> None:
    """Run quietly; when it fails, raise InstallError with the end of what it said."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    result = subprocess.run(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if result.returncode != 0:
        said = "\n".join(f"    {line}" for line in result.stdout.splitlines()[-15:])
        raise InstallError(f"{' '.join(command)}\nfailed:\n{said}\n{remedy}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--p4sh", action="store_true", help="also .venv-p4sh")
    arguments = parser.parse_args()
    if sys.version_info[:2] != PYTHON:
        print(f"Python {PYTHON[0]}.{PYTHON[1]} is needed, this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    build = PROJECT / "build"
    build.mkdir(exist_ok=True)
    with (build / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            install_packages()
            install_environments([MAIN, P4SH] if arguments.p4sh else [MAIN])
        except InstallError as error:
            print(f"Cannot install: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
