"""`clew evaluate`: what a bundle is worth on held-out data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.main import dispatch
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE
from clew.recipes.families import Family, known


class EvaluateOptions(Options):
    """Evaluate a bundle on the evidence that its run held out."""

    bundle: Positional[Path]
    """Folder of the bundle."""
    as_json: Json = False
    """Print the report as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew evaluate`."""
    plain = {family.objective: family for family in known().values() if family.evaluator and not family.evaluates}
    if arguments and arguments[0] in plain:
        return _evaluate(plain[arguments[0]], arguments[1:])
    own = [family.evaluates for family in known().values() if family.evaluates]
    commands = {name: (module, text) for name, module, text in own}
    commands |= dict.fromkeys(plain, (__name__, "what a bundle of this objective is worth"))
    return dispatch(
        commands, arguments, program="clew evaluate", about="Evaluates a model: on held-out data, or in games."
    )


def _evaluate(family: Family, arguments: list[str]) -> int:
    options = parse(EvaluateOptions, arguments, program=f"clew evaluate {family.objective}")
    report: Mapping[str, Any] = family.part("evaluator")(options.bundle)
    values = dict(report)
    if options.as_json:
        print_json(values)
    else:
        print("\n".join(f"{name:<24} {value}" for name, value in values.items()))
    return EXIT_DONE
