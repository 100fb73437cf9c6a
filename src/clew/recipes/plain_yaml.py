"""YAML as recipes are written in it: mappings, lists and scalars, a key once, and nothing that surprises.

What is a number, true or null is so in YAML 1.1 and in YAML 1.2 alike. PyYAML's own rules are those of 1.1, where
`1:30:00` is 5400, `on` is true, `010` is 8 and a date is an object; here these are texts, and a field that wants a
number says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from typing import Any

import yaml

_LONGEST = 1 << 20
_DEEPEST = 50
_MOST_NODES = 10_000

_NULL, _BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))


class _Loader(yaml.SafeLoader):
    """Safe YAML without duplicate keys (PyYAML would keep the last one silently) and without sexagesimals."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):  # `!!map 3`
            raise yaml.constructor.ConstructorError(None, None, "a mapping is due", node.start_mark)
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a word or a number", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            made = super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            # What PyYAML's constructors raise for a scalar that is none of its tag: `!!int x`, a number too long.
            kind = node.tag.removeprefix("tag:yaml.org,2002:")
            said = f"'{str(node.value)[:40]}' is no {kind}"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark) from error
        if isinstance(made, float) and not math.isfinite(made):
            said = f"{str(node.value)[:40]} is no finite number"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)
        return made


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    (_NULL, r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (_BOOL, r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    (_INT, r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        _FLOAT,
        r"[-+]?(([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
):
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), _first)


def read(text: str) -> Any:
    """What `text` says in plain values. Raises `yaml.YAMLError` with what is wrong, and where that is known."""
    if len(text) > _LONGEST:
        raise yaml.YAMLError(f"it has {len(text):,} characters, which is too long for a recipe")
    _check_extent(text)
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _check_extent(text: str) -> None:
    """Raise `yaml.YAMLError` for what nests too deeply, or would be too large once its aliases are written out.

    Told from the events, of which there are as many as the text is long: a few lines of aliases of aliases stand for
    millions of values.
    """
    loader: Any = _Loader(text)
    sizes: dict[str | None, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((event.anchor, total))
                if len(open_nodes) > _DEEPEST:
                    raise _refusal(f"it nests more than {_DEEPEST} deep", event.start_mark)
                total += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, before = open_nodes.pop()
                if anchor:
                    sizes[anchor] = total - before
            elif isinstance(event, yaml.ScalarEvent):
                total += 1
                if event.anchor:
                    sizes[event.anchor] = 1
            elif isinstance(event, yaml.AliasEvent):
                if any(anchor == event.anchor for anchor, _ in open_nodes):
                    raise _refusal(f"'*{event.anchor}' is a part of itself", event.start_mark)
                total += sizes.get(event.anchor, 1)
            if total > _MOST_NODES:
                raise _refusal(f"it stands for more than {_MOST_NODES:,} values", event.start_mark)
    except ValueError as error:  # an escape of no character: "\U00110000"
        raise _refusal(str(error), loader.get_mark()) from error
    finally:
        loader.dispose()


def _refusal(said: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, said, mark)
