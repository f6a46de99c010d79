"""Collects the lines of the generated C, indented."""

from collections.abc import Iterator
from contextlib import contextmanager

from switch.compiler.model import Source

INDENT = "    "


class Writer:
    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0

    def line(self, text: str = "") -> None:
        self._lines.append(INDENT * self._depth + text if text else "")

    def label(self, name: str) -> None:
        """A label, one step to the left; the empty statement lets a declaration or `}` follow."""
        self._lines.append(INDENT * (self._depth - 1) + f"{name}:;")

    def comment(self, text: str, source: Source | None = None) -> None:
        """A comment, with the P4 line and its text if they are known."""
        if source:
            text = f"{text} ({source}: {source.fragment})" if text else f"{source}: {source.fragment}"
        text = " ".join(text.split()).replace("*/", "* /").replace("/*", "/ *")
        self.line(f"/* {text} */")

    @contextmanager
    def block(self, head: str = "", tail: str = "}") -> Iterator[None]:
        """`head {` ... `}`; lines written inside are one step deeper."""
        self.line(f"{head} {{" if head else "{")
        self._depth += 1
        yield
        self._depth -= 1
        self.line(tail)

    @contextmanager
    def function(self, head: str) -> Iterator[None]:
        self.line()
        self.line(head)
        with self.block():
            yield

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"
