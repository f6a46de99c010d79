"""One daemon to a socket and to a store: locks that the kernel gives back however a process ends."""

import contextlib
import fcntl
import grp
import os
from collections.abc import Iterator
from pathlib import Path

from controller.errors import StartError

ONLY_OWNER = 0o700
FOR_THE_GROUP = 0o750


@contextlib.contextmanager
def taken(path: Path, option: str) -> Iterator[None]:
    """Holds the lock beside `path`, whose folder is made if there is none.

    Raises StartError when another process has it or it cannot be made.
    """
    try:
        path.parent.mkdir(mode=ONLY_OWNER, parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock").open("a+")
    except OSError as error:
        raise StartError(
            f"cannot write to {path.parent}: {words(error)}; run as root, or name another place with {option}"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StartError(
                f"another daemon (process {lock.read().strip() or 'unknown'}) uses {path}; "
                f"end that one, or name another place with {option}"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def group_id(name: str) -> int:
    """The number of a group of the system. Raises StartError."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise StartError(f"there is no group {name}; name one of the system's with --group") from None


def give_to_group(path: Path, number: int, mode: int) -> None:
    """What is of that group already is not given to it: a service may be forbidden to do that at all."""
    if path.stat().st_gid != number:
        os.chown(path, -1, number)
    path.chmod(mode)


def make_folder_for(path: Path, group: str) -> None:
    """Makes the folder of a socket that `group` may use; one that is there stays as it is.

    Raises StartError.
    """
    folder, number = path.parent, group_id(group)
    if folder.exists():
        return
    try:
        folder.mkdir(mode=ONLY_OWNER, parents=True)
        give_to_group(folder, number, FOR_THE_GROUP)
    except OSError as error:
        raise StartError(f"cannot make {folder} for group {group}: {words(error)}") from None


def words(error: OSError) -> str:
    """What the system says, to go on after a colon."""
    return (error.strerror or str(error)).lower()
