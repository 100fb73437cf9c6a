"""Jinja templates of unknown origin, rendered so that they can neither run on, nor fill the memory, nor reach beyond
the plain data that they are given.

jinja2's own sandbox keeps templates from Python's insides; it does not count what they do. Here each loop is charged
for its passes, each call and each piece of text for its size, before they happen, and only filters and methods are
there whose result is no larger than that of a charge.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

LARGEST_SOURCE = 200_000
"""Characters of a template."""
LARGEST_TEXT = 4_000_000
"""Characters of any text that a template makes, the rendered one among them."""
MOST_WORK = 20_000_000
"""Passes of loops, calls and characters that one rendering may come to."""

_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "int", "items", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "safe", "select", "selectattr",
    "sort", "string", "sum", "title", "trim", "unique", "upper",
)  # fmt: skip
_METHODS: dict[type, frozenset[str]] = {
    str: frozenset((
        "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith", "upper", "lower",
        "title", "capitalize", "find", "rfind", "index", "count", "isdigit", "isalpha", "isalnum", "isspace",
        "isupper", "islower", "partition", "rpartition", "removeprefix", "removesuffix", "replace", "join",
    )),
    dict: frozenset(("get", "items", "keys", "values")),
    list: frozenset(("index", "count")),
}  # fmt: skip
_CHARGED, _PASSES, _BUDGET = "_charged", "_passes", "_budget"


class TemplateError(Exception):
    """Why a template gives nothing; the end of a sentence that names the template."""


class _Budget:
    def __init__(self) -> None:
        self.left = MOST_WORK

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise SecurityError(f"it runs on: one rendering came to more than {MOST_WORK:,} passes and characters")


def _sized(length: int) -> int:
    if length > LARGEST_TEXT:
        raise SecurityError(f"it makes a text of more than {LARGEST_TEXT:,} characters")
    return length


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, list, tuple, dict, range)) else 1


@jinja2.pass_context
def _charge(context: Context, value: Any) -> Any:
    """The value, when its size is paid for."""
    _budget(context).spend(_sized(_length(value)))
    return value


@jinja2.pass_context
def _loop(context: Context, values: Iterable[Any], weight: int) -> list[Any]:
    """What a loop goes over, when all its passes are paid for: `weight` characters of constant text each."""
    found = list(values)
    _budget(context).spend(len(found) * weight)
    return found


def _budget(context: Context) -> _Budget:
    return cast("_Budget", context[_BUDGET])


def _replace(text: str, old: str, new: str, *_: Any) -> str:
    _sized(len(text) + str(text).count(old) * max(0, len(new) - len(old)))
    return str(text).replace(str(old), str(new))


def _join(values: Iterable[Any], separator: str = "", *_: Any) -> str:
    texts = [str(value) for value in values]
    _sized(sum(map(len, texts)) + len(separator) * len(texts))
    return str(separator).join(texts)


def _to_json(value: Any, indent: int | None = None, ensure_ascii: bool = False, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=None if indent is None else min(int(indent), 8))


class _Charges(NodeTransformer):
    """Writes the charges into a parsed template."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        weight = 1 + sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        arguments: list[nodes.Expr] = [nodes.Const(weight)]
        node.iter = nodes.Filter(node.iter, _PASSES, arguments, [], None, None)
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Output:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [each if isinstance(each, nodes.TemplateData) else _charged(each) for each in node.nodes]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _charged(node)

    def visit_Filter(self, node: nodes.Filter) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _charged(node) if node.node is not None else node


def _charged(node: nodes.Expr) -> nodes.Expr:
    return nodes.Filter(node, _CHARGED, [], [], None, None)


class Generation(Extension):
    """`{% generation %}...{% endgeneration %}` around what the model writes, as transformers has it."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        marks = [nodes.Output([nodes.Name(name, "load")]) for name in ("_generation_begins", "_generation_ends")]
        # No block of its own: what is set inside stays set, as in the text around it.
        return nodes.If(nodes.Const(True), [marks[0], *body, marks[1]], [], []).set_lineno(line)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment: plain data, a handful of filters, everything counted."""

    intercepted_binops = frozenset(("+", "*", "**", "%", "//"))

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])
        known = {name: self.filters[name] for name in _FILTERS}
        own: dict[str, Callable[..., Any]] = {
            _CHARGED: _charge, _PASSES: _loop, "replace": _replace, "join": _join, "tojson": _to_json
        }  # fmt: skip
        self.filters = known | own
        self.globals = {name: self.globals[name] for name in ("range", "namespace", "dict")}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed = super()._parse(source, name, filename)
        charged: nodes.Template = _Charges().visit(parsed)
        charged.set_environment(self)
        for node in charged.find_all(nodes.Node):
            if getattr(node, "lineno", 1) is None:
                node.lineno = 1
        return charged

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Only keys of mappings, and what jinja2 itself hands out: a loop's position, a namespace's values."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def wrap_str_format(self, value: Any) -> None:
        """No `format` of texts, which jinja2 would let through: a width in it makes a text of any size."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may have this attribute of an object."""
        for kind, names in _METHODS.items():
            if isinstance(obj, kind):
                return attr in names
        module = type(obj).__module__
        return module == "jinja2.runtime" or type(obj).__name__ == "Namespace"

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """A call, when it is paid for."""
        bound, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        weight = 1 + sum(map(_length, args))
        if isinstance(obj, Macro):
            weight += int(context.get("_constant", 0))
        _budget(context).spend(weight + (_length(bound) if isinstance(bound, str) else 0))
        if isinstance(bound, str) and name == "replace":
            _sized(len(bound) + bound.count(str(args[0])) * len(str(args[1])))
        if isinstance(bound, str) and name == "join":
            return _charge(context, _join(args[0], bound))
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers, and on texts and lists as far as the result stays small."""
        sizes = [_length(side) if isinstance(side, (str, list, tuple)) else 0 for side in (left, right)]
        if operator == "%" and isinstance(left, str):
            raise SecurityError("it formats with %, which is not there")
        if operator == "+":
            _budget(context).spend(_sized(sum(sizes)))
        if operator in ("*", "**") and any(sizes):
            number = right if sizes[0] else left
            _budget(context).spend(_sized(max(sizes) * abs(int(number))))
        elif all(isinstance(side, (int, float)) for side in (left, right)) and (
            max(abs(left), abs(right)) > 1e9 or (operator == "**" and abs(right) > 8)
        ):
            raise SecurityError("it counts beyond a thousand million, or raises to a power beyond 8")
        return super().call_binop(context, operator, left, right)


def compiled(source: str) -> jinja2.Template:
    """The template of `source`. Raises `TemplateError`."""
    if len(source) > LARGEST_SOURCE:
        raise TemplateError(f"it has {len(source):,} characters, and at most {LARGEST_SOURCE:,} are read")
    try:
        return Sandbox().from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"line {error.lineno}: {_one_line(error.message or str(error))}") from error
    except (RecursionError, MemoryError, SyntaxError, ValueError, TypeError) as error:
        raise TemplateError(f"it cannot be compiled: {_one_line(str(error))}") from error


def rendered(template: jinja2.Template, values: Mapping[str, Any], constant: int) -> str:
    """What `template` makes of `values`; `constant`: characters of its source. Raises `TemplateError`."""

    def raise_exception(message: str) -> None:
        raise TemplateError(f"it refuses this conversation: {_one_line(str(message))}")

    budget = _Budget()
    pieces, length = [], 0
    try:
        given = {**values, "raise_exception": raise_exception, _BUDGET: budget, "_constant": constant}
        for piece in template.generate(given):
            length = _sized(length + len(piece))
            pieces.append(piece)
    except SecurityError as error:
        raise TemplateError(_one_line(str(error))) from error
    except RecursionError as error:
        raise TemplateError("it calls itself without an end") from error
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise TemplateError(_one_line(str(error)) or type(error).__name__) from error
    return "".join(pieces)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300].rstrip(".")
