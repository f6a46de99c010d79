"""Checked access to the JSON: a broken one is refused with the object's name instead of a KeyError."""

import json
from collections.abc import Iterator
from typing import Any, TypeVar

from switch.compiler.model import Source
from switch.errors import LoadError

T = TypeVar("T")


def parse(config: bytes) -> dict[str, Any]:
    try:
        document = json.loads(config)
    except (ValueError, UnicodeDecodeError) as error:
        raise LoadError(f"the program is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise LoadError("the program is not a BMv2 JSON: the outermost value is no object")
    return document


def member(obj: Any, key: str, kind: type[T], what: str) -> T:
    """obj[key], which must be there and of that kind; `what` names the object for the error."""
    if not isinstance(obj, dict):
        raise LoadError(f"{what}: expected a JSON object, not {obj!r}")
    if key not in obj:
        raise LoadError(f"{what}: '{key}' is missing")
    value = obj[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise LoadError(f"{what}: '{key}' should be of type {kind.__name__}, not {value!r}")
    return value


def count(obj: Any, key: str, what: str, most: int, least: int = 1) -> int:
    """obj[key], which must be a number from `least` to `most`: a width, a size."""
    value = member(obj, key, int, what)
    if not least <= value <= most:
        raise LoadError(f"{what}: '{key}' is {value}; this switch does {least} to {most}")
    return value


def optional_name(obj: Any, key: str, what: str) -> str | None:
    """obj[key] if it is a string; None if it is null or absent."""
    return member(obj, key, str, what) if isinstance(obj, dict) and obj.get(key) is not None else None


def objects(obj: Any, key: str, what: str) -> list[dict[str, Any]]:
    """obj[key] as a list of objects; empty when it is null or absent."""
    found = anything(obj, key, what)
    for item in found:
        if not isinstance(item, dict):
            raise LoadError(f"{what}: '{key}' should hold objects, not {item!r}")
    return found


def anything(obj: Any, key: str, what: str) -> list[Any]:
    """obj[key] as a list; empty when it is null or absent."""
    return member(obj, key, list, what) if isinstance(obj, dict) and obj.get(key) is not None else []


def integers(obj: Any, key: str, what: str) -> list[int]:
    """obj[key], which must be a list of integers."""
    found = member(obj, key, list, what)
    if not all(isinstance(item, int) for item in found):
        raise LoadError(f"{what}: '{key}' should hold integers, not {found!r}")
    return found


def members(document: Any, key: str, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name and P4 line for errors, object) for each object of a list; nothing when the list is absent."""
    for obj in objects(document, key, "the program"):
        yield placed(f"{what} '{obj['name']}'" if obj.get("name") else what, source(obj)), obj


def pair(value: Any, what: str) -> tuple[Any, Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise LoadError(f"{what}: expected a list of two, not {value!r}")
    return value[0], value[1]


def number(text: Any, what: str) -> int:
    """A hexstr, which may be negative ("-0x1")."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    try:
        return int(str(text), 16)
    except ValueError:
        raise LoadError(f"{what}: {text!r} is not a hexadecimal number") from None


def source(obj: Any) -> Source | None:
    """The P4 line that an object comes from, where the compiler noted it."""
    info = obj.get("source_info") if isinstance(obj, dict) else None
    if not isinstance(info, dict) or not info.get("filename"):
        return None
    line = info.get("line")
    return Source(
        str(info["filename"]), line if isinstance(line, int) else 0, str(info.get("source_fragment", ""))
    )


def placed(what: str, where: Source | None) -> str:
    """Names a thing for errors, with its P4 line where that is known."""
    return f"{what} at {where}" if where else what


def refuse(what: str, why: str) -> LoadError:
    """The error for something that the switch cannot do."""
    return LoadError(f"{what}: {why}")
