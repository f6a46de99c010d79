"""From pydantic's errors to problems that an operator can act on.

A path names list items by their `name` where they have one: `pools[web].backends[b1].weight`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controller.errors import Problem
from controller.values import format_duration

Location = tuple[int | str, ...]


def problems_of(
    error: ValidationError, root: type[BaseModel], data: object = None, prefix: str = ""
) -> list[Problem]:
    """Every problem in `error`, which arose from validating `data` as a `root`.

    `prefix` is the path of `data` itself, when that is only a piece of the document.
    """
    return [
        Problem(join(prefix, path(details["loc"], data)), message(details, root))
        for details in error.errors(include_url=False)
    ]


def join(prefix: str, rest: str) -> str:
    return f"{prefix}.{rest}" if prefix and rest else prefix or rest


def path(location: Location, data: object) -> str:
    """`("pools", 0, "health", "http", "path")` as `pools[web].health.path`."""
    text = ""
    for step, value in walk(location, data):
        if isinstance(step, int):
            text += f"[{_name(value) or step}]"
        else:
            text = join(text, step)
    return text


def walk(location: Location, data: object) -> Iterator[tuple[int | str, object]]:
    """The steps of `location` with what `data` holds there, without pydantic's own steps (tags of unions)."""
    for step in location:
        inside = _inside(data, step)
        if inside is None and _inside(data, "type") == step:
            continue
        data = inside
        yield step, data


def _inside(data: object, step: int | str) -> object:
    if isinstance(step, int):
        return data[step] if isinstance(data, Sequence) and 0 <= step < len(data) else None
    if isinstance(data, Mapping):
        return data.get(step)
    return getattr(data, step, None) if isinstance(data, BaseModel) else None


def _name(item: object) -> str | None:
    for key in ("name", "destination", "address"):
        value = _inside(item, key)
        if value is not None and not isinstance(value, Mapping | list):
            return str(value)
    return None


def message(details: ErrorDetails, root: type[BaseModel]) -> str:
    """What is wrong and what would be right."""
    context = details.get("ctx", {})
    given = _shown(details.get("input"))
    match details["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return _unknown_key(str(details["loc"][-1]), _known_keys(details["loc"][:-1], root))
        case "greater_than_equal":
            return _out_of_bounds(details["input"], "at least", context["ge"])
        case "less_than_equal":
            return _out_of_bounds(details["input"], "at most", context["le"])
        case "less_than":
            return f"is {given}, must be less than {context['lt']}"
        case "int_type" if str(details["input"]).isdecimal():
            return f"is {given}, must be a whole number, without quotes"
        case "int_type" | "int_parsing" | "int_parsing_size":
            return f"is {given}, must be a whole number"
        case "bool_parsing":
            return f"is {given}, must be true or false"
        case "string_unicode":
            return "is no text: it has half of a surrogate pair"
        case "string_type":
            return f"is {given}, must be text"
        case "string_pattern_mismatch" if details["loc"][-1] == "host":
            return f"is {given}, must be a host name such as shop.example or shop.example:8080"
        case "string_pattern_mismatch" if details["loc"][-1] == "path":
            return f"is {given}, must begin with / and have no spaces"
        case "string_pattern_mismatch" if details["loc"][-1] == "sni":
            return f"is {given}, must be a host name such as shop.example"
        case "string_pattern_mismatch" if details["loc"][-1] == "ca":
            return f"is {given}, must be the whole path of a file, beginning with /"
        case "string_pattern_mismatch" if "command" in details["loc"]:
            return f"is {given}, must not hold a NUL character"
        case "string_too_long" | "string_too_short" as which:
            bound = "at most" if which == "string_too_long" else "at least"
            length = context.get("max_length", context.get("min_length"))
            return f"is {given}, must have {bound} {length} characters"
        case "string_pattern_mismatch" if details["loc"][-1] == "source":
            return f"is {given}, must have no control characters"
        case "string_pattern_mismatch":
            return (
                f"is {given}, must be 1 to 63 letters, digits, dots, dashes and underscores, "
                "and begin with a letter or a digit"
            )
        case "enum" | "literal_error":
            return (
                f"is {given}, must be {context['expected']}{_advice(details['input'], context['expected'])}"
            )
        case "union_tag_invalid":
            tags = str(context["expected_tags"])
            return f"type is {context['tag']!r}, must be {tags}{_advice(context['tag'], tags)}"
        case "union_tag_not_found":
            return "needs a type: tcp, http, https, icmp, udp, exec or none"
        case "too_short":
            return "must not be empty"
        case "model_attributes_type" if isinstance(details["input"], bytes):
            return "must be JSON: send it with Content-Type: application/json"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"is {given}, must be a mapping of keys to values"
        case "tuple_type" | "list_type":
            return f"is {given}, must be a list"
        case "refused":
            return str(context["message"])
        case _:
            return details["msg"]


def _out_of_bounds(value: object, side: str, bound: float) -> str:
    """Of the model's numbers only durations are floats."""
    if isinstance(value, float):
        return f"is {format_duration(value)}, must be {side} {format_duration(bound)}"
    return f"is {value}, must be {side} {int(bound)}"


def _advice(given: object, expected: str) -> str:
    """What may have been meant by a value that is none of the `expected` ones."""
    if isinstance(given, bool):
        return "; YAML reads yes, no, on and off as true or false: put it in quotes"
    close = get_close_matches(str(given), re.findall(r"'([^']*)'", expected), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # as YAML and JSON have it
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown_key(key: str, known: list[str]) -> str:
    close = get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known keys are {', '.join(known)}"
    return f"is not a known key; {hint}"


def _known_keys(location: Location, root: type[BaseModel]) -> list[str]:
    models = [root]
    for step in location:
        if isinstance(step, int):
            continue
        fields = [model.model_fields[step].annotation for model in models if step in model.model_fields]
        tagged = [model for model in models if step in _tags(model)]
        models = [model for field in fields for model in _models_in(field)] or tagged or models
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _models_in(part)


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    return get_args(model.model_fields["type"].annotation) if "type" in model.model_fields else ()
