"""Where in the P4 program an object comes from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """Where in the P4 program an object comes from."""

    filename: str
    line: int
    fragment: str

    def __str__(self) -> str:
        return f"{self.filename}:{self.line}"
