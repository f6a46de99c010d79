"""The YAML document and the model: text in, `Config` out, and back.

    config = load(Path("sluice.yaml"))

Mistakes are reported all at once, each with its line, its key path, and what would be right.
"""

import json
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.reader import ReaderError

from controller.errors import InvalidConfig, Problem
from controller.memory import Memory
from controller.model import Config, Mode, Pool
from controller.problems import Location, message, path, walk

MAX_DOCUMENT = 32 * 2**20
"""Bytes. 100 thousand backends take about 10 MB."""

MAX_NODES = 4_000_000
"""What aliases may expand to, so that a small document cannot grow without bound."""


def load(file: Path) -> Config:
    """The configuration in `file`. Raises InvalidConfig, also when it cannot be read."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_DOCUMENT + 1)
    except OSError as error:
        raise InvalidConfig([Problem("", f"cannot be read: {error.strerror}")], str(file)) from None
    return parse(data, str(file))


def parse(document: str | bytes, source: str = "") -> Config:
    """The configuration that `document` (YAML, UTF-8) describes; `source` names it in errors."""
    node, data = _read(document, source)
    if not isinstance(data, dict):
        raise InvalidConfig([Problem("", "must be a mapping with the keys switch, pools, vips, ...")], source)
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise InvalidConfig(
            [
                Problem(
                    path(details["loc"], data), message(details, Config), _line(node, details["loc"], data)
                )
                for details in error.errors(include_url=False)
            ],
            source,
        ) from None


def dump(config: Config) -> str:
    """A document that `parse` reads as an equal configuration."""
    # default_flow_style=None: a backend or a VIP is one line, as a person would write it.
    return yaml.safe_dump(
        document_of(config), sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
    )


def document_of(config: Config) -> dict[str, Any]:
    """The configuration as plain data, without what is not set or means nothing."""
    document = config.model_dump(mode="json", exclude_none=True, exclude={"pools"})
    document["pools"] = [_document_of_pool(pool) for pool in config.pools]
    return {name: document[name] for name in Config.model_fields if name in document}


def _document_of_pool(pool: Pool) -> dict[str, Any]:
    document = pool.model_dump(mode="json", exclude_none=True)
    if not pool.mode.is_tunnel:
        del document["tunnel"]
    if pool.mode is not Mode.NAT:
        del document["passive"]
    if not any(backend.tier for backend in pool.backends):
        del document["tier_minimum"]
        for backend in document["backends"]:
            del backend["tier"]
    return document


def document_text(config: Config, memory: Memory | None = None) -> str:
    """The document as the store keeps it: JSON. Pools that are in `memory` are not described again."""
    memory = memory or Memory()
    memory.begin()
    pools = [memory.make(pool.name, _text_of_pool, pool) for pool in config.pools]
    rest = config.model_dump(mode="json", exclude_none=True, exclude={"pools"})
    texts = {name: _json(value) for name, value in rest.items()} | {"pools": f"[{','.join(pools)}]"}
    return (
        "{" + ",".join(f"{_json(name)}:{texts[name]}" for name in Config.model_fields if name in texts) + "}"
    )


def _text_of_pool(pool: Pool) -> str:
    return _json(_document_of_pool(pool))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _read(document: str | bytes, source: str) -> tuple[yaml.Node | None, object]:
    if len(document) > MAX_DOCUMENT:
        raise InvalidConfig([Problem("", f"is larger than {MAX_DOCUMENT >> 20} MB")], source)
    try:
        text = document.decode() if isinstance(document, bytes) else document
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InvalidConfig([Problem("", f"is not UTF-8 text (byte {error.start})", line)], source) from None
    loader = yaml.CSafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, None
        _refuse_growth(node, source)
        repeated = list(_repeated_keys(node))
        if repeated:
            raise InvalidConfig(repeated, source)
        return node, loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        told = ", ".join(filter(None, (error.context, error.problem)))
        spaces = "; use spaces" if "tab character" in told else ""
        raise InvalidConfig([Problem("", f"is not YAML: {told}{spaces}", line)], source) from None
    except ReaderError as error:
        line = text[: error.position].count("\n") + 1
        character = error.character if isinstance(error.character, int) else ord(error.character)
        told = f"the character {character:#06x} is not allowed"
        raise InvalidConfig([Problem("", f"is not YAML: {told}", line)], source) from None
    except RecursionError:
        raise InvalidConfig([Problem("", "is nested too deeply")], source) from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidConfig([Problem("", f"is not YAML: {error}")], source) from None
    finally:
        loader.dispose()


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _refuse_growth(root: yaml.Node, source: str) -> None:
    """Refuses documents whose aliases make them endless or larger than MAX_NODES."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in open_nodes:
            raise InvalidConfig([Problem("", "has an alias to what contains it", _mark(node))], source)
        if id(node) not in sizes:
            open_nodes.add(id(node))
            sizes[id(node)] = 1 + sum(map(size, _children(node)))
            open_nodes.discard(id(node))
        return sizes[id(node)]

    if size(root) > MAX_NODES:
        raise InvalidConfig([Problem("", f"has more than {MAX_NODES} values, aliases resolved")], source)


def _repeated_keys(root: yaml.Node) -> Iterator[Problem]:
    """YAML lets the last of two equal keys win in silence; that is never meant."""
    stack, seen = [root], set[int]()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        stack += _children(node)
        if isinstance(node, yaml.MappingNode):
            keys = set[Hashable]()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in keys:
                    yield Problem(key.value, "stands twice in the same mapping", _mark(key))
                keys.add(key.value if isinstance(key, yaml.ScalarNode) else None)


def _mark(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _line(root: yaml.Node | None, location: Location, data: object) -> int | None:
    """The line of the innermost node on the way to `location`."""
    node = root
    for step, _ in walk(location, data):
        inner = _inner(node, step)
        if inner is None:
            break
        node = inner
    return _mark(node) if node else None


def _inner(node: yaml.Node | None, step: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step]
    if isinstance(node, yaml.MappingNode):
        # The value's line, except for blocks, which begin below their key.
        for key, value in node.value:
            if key.value == step:
                return value
    return None
