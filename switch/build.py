"""From C to a shared object: find a compiler, compile once, keep the result by the digest of all that went
into it.

The generated C stays beside the shared object, to be read and debugged.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from switch.errors import BuildError

RUNTIME = Path(__file__).parent / "runtime"

COMPILERS = ("cc", "gcc", "clang")

FLAGS = (
    "-std=gnu11",
    "-O2",
    "-fPIC",
    "-fvisibility=hidden",
    "-pthread",
)

DIGEST_LENGTH = 16
"""Hexadecimal digits of a digest in file names."""


def default_cache() -> Path:
    """$SLUICE_CACHE, or ~/.cache/sluice/switch."""
    chosen = os.environ.get("SLUICE_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "sluice" / "switch"


def find_compiler() -> list[str]:
    """The compiler's command: $CC if it is set (it may hold options), else the first of COMPILERS on PATH."""
    chosen = os.environ.get("CC")
    if chosen:
        command = shlex.split(chosen)
        if shutil.which(command[0]) is None:
            raise BuildError(f"the C compiler '{command[0]}', which CC names, is not there")
        return command
    for name in COMPILERS:
        if shutil.which(name):
            return [name]
    raise BuildError(
        f"there is no C compiler (looked for {', '.join(COMPILERS)}): "
        "install one (Debian: apt-get install gcc libc6-dev), or name it in CC"
    )


def build(
    name: str,
    sources: Sequence[Path],
    *,
    generate: Callable[[], str] | None = None,
    inputs: Sequence[bytes] = (),
    cache: Path | None = None,
    defines: Sequence[str] = (),
) -> Path:
    """The shared object of some C files, compiled only if it is not in the cache yet.

    name: begins the file's name.
    sources: C files; they may include everything in runtime/.
    generate: writes one more C file, whose content must follow from `inputs`; called only when compiling. The
    sources are compiled once, then, for all that goes with them.
    cache: the directory; default default_cache().
    defines: macros to define.
    Raises BuildError; what `generate` raises passes through.
    """
    compiler = [*find_compiler(), *(f"-D{macro}" for macro in defines)]
    directory = cache if cache is not None else default_cache()
    identity = _identity(compiler)
    stem = f"{name}-{_digest(identity, sources, inputs)}"
    result = directory / f"{stem}.so"
    if result.exists():
        return result
    files = list(sources)
    text = generate() if generate else None
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if text is not None:
            generated = directory / f"{stem}.c"
            _replace(generated, text)
            files = [generated, *(_object(compiler, identity, source, directory) for source in sources)]
        _compile([*compiler, "-shared"], files, result)
    except OSError as error:
        raise BuildError(f"cannot write to the cache {directory}: {error.strerror or error}") from error
    return result


def _identity(compiler: list[str]) -> list[bytes]:
    """All that its output depends on, but for what it compiles."""
    version = subprocess.run([*compiler, "--version"], capture_output=True, check=False).stdout
    return [" ".join((*compiler, *FLAGS)).encode(), version]


def _object(compiler: list[str], identity: list[bytes], source: Path, directory: Path) -> Path:
    result = directory / f"{source.stem}-{_digest(identity, [source], [])}.o"
    if not result.exists():
        _compile([*compiler, "-c"], [source], result)
    return result


def _digest(identity: Sequence[bytes], sources: Sequence[Path], inputs: Sequence[bytes]) -> str:
    parts = [*identity, *(path.read_bytes() for path in (*sources, *sorted(RUNTIME.glob("*.h"))))]
    parts += inputs
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:DIGEST_LENGTH]


def _replace(path: Path, text: str) -> None:
    """Writes a file so that nobody sees half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(temporary).replace(path)


def _compile(compiler: list[str], files: Sequence[Path], result: Path) -> None:
    with tempfile.TemporaryDirectory(dir=result.parent, prefix="build-") as directory:
        output = Path(directory) / result.name
        command = [*compiler, *FLAGS, "-I", str(RUNTIME), "-o", str(output), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildError(f"{shlex.join(command)} failed on {files[0]}:\n{done.stderr.strip()}")
        output.replace(result)
