"""Flags made from a class: names, defaults, checks, and one sentence for what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pydantic
import pytest

from clew.cli import flags
from clew.core.errors import UsageError


class Engine(pydantic.BaseModel):
    """An engine."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    horse_power: int = pydantic.Field(default=70, ge=1)
    """How strong it is."""


class Car(flags.Options):
    """Build a car."""

    name: flags.Positional[str | None] = None
    """What it is called."""
    wheels: int = 4
    """How many wheels."""
    paint: Literal["red", "green"] = "red"
    """Its colour."""
    garage: Path = Path("here")
    """Where it stands."""
    as_json: flags.Json = False
    """As JSON."""
    engine: Engine = Engine()
    """What drives it."""


def parse(*arguments, **settings):
    return flags.parse(Car, arguments, program="clew car", **settings)


def test_without_arguments_the_defaults_stand():
    assert parse() == Car()


def test_values_take_the_types_of_their_fields():
    made = parse("beetle", "--wheels", "3", "--garage", "/there", "--json", "--horse-power", "34")
    assert made == Car(name="beetle", wheels=3, garage=Path("/there"), as_json=True, engine=Engine(horse_power=34))


def test_flags_lie_over_a_given_default():
    given = Car(wheels=6, engine=Engine(horse_power=5))
    assert parse("--paint", "green", default=given) == given.model_copy(update={"paint": "green"})


def test_help_shows_docstrings_and_defaults_and_ends_well(capsys):
    with pytest.raises(SystemExit) as stop:
        parse("--help")
    assert stop.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for text in (
        "Build a car.",
        "How many wheels.",
        "--engine.horse-power",
        "How strong it is.",
        "--json",
        "default: 4",
    ):
        assert text in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--weels", "3"], r"Unrecognized options: --weels, 3\. Did you mean --wheels\?"),
        (["--wheels", "many"], r"--wheels: .*'many'"),
        (["--wheels"], r"--wheels.* Expected 1 value"),
        (["--paint", "blue"], r"invalid choice 'blue' .* \('red', 'green'\)"),
        (["--horse-power", "0"], r"--horse-power is 0: input should be greater than or equal to 1\."),
    ],
)
def test_what_does_not_fit_is_one_sentence_with_the_way_to_help(capsys, arguments, said):
    with pytest.raises(UsageError, match=said) as caught:
        parse(*arguments)
    message = str(caught.value)
    assert message.endswith("See `clew car --help`.")
    assert not set("\n│╭╯") & set(message)
    assert "pydantic" not in message
    assert caught.value.exit_code == 2
    shown = capsys.readouterr()
    assert shown.out + shown.err == ""


class Race(flags.Options):
    """Race."""

    seconds: float = 1.0
    """How long."""
    laps: int = 1
    """How many."""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seconds", "inf"), "finite"),
        (("--seconds", "nan"), "finite"),
        (("--seconds", "1e400"), "finite"),
        (("--laps", str(2**63)), "64 bits"),
        (("--laps", str(-(2**70))), "64 bits"),
    ],
)
def test_numbers_that_nothing_counts_with_are_refused(words, said):
    with pytest.raises(UsageError, match=rf"{words[0]} is .*{said}"):
        flags.parse(Race, words, program="clew race")
