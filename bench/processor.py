"""Time of a processor that threads have taken."""

from pathlib import Path


def seconds(pid: int | str, thread: str = "") -> float:
    """Of all threads of a process so far, or of those of this name. pid: or "self"."""
    tasks = list(Path("/proc", str(pid), "task").iterdir())
    if thread:
        tasks = [task for task in tasks if (task / "comm").read_text().strip() == thread]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
