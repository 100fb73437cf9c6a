"""YAML of recipes: what other readers take for something else is a text, and what has no end a sentence."""

from __future__ import annotations

import time

import pytest
import yaml

from clew.core.errors import UsageError
from clew.recipes import base, load, plain_yaml, presets

RECIPE = "objective: next_token\n"


def refused(tmp_path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as said:
        load(str(path))
    assert len(str(said.value)) < 500
    return str(said.value)


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("12", 12), ("-3", -3), ("+4", 4), ("0", 0), ("0x1f", 31), ("1.5", 1.5), ("3.0e-05", 3e-5),
        (".5", 0.5), ("5.", 5.0), ("true", True),
        ("False", False), ("null", None), ("~", None), ("", None), ("1:30:00", "1:30:00"),
        ("190:20:30.15", "190:20:30.15"), ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"),
        ("010", "010"), ("0b11", "0b11"), ("1_000", "1_000"), ("2001-01-01", "2001-01-01"),
        ("2001-99-99", "2001-99-99"), ("=", "="), ("'12'", "12"), ("word", "word"), ("1e3", "1e3"),
        ("!!str 12", "12"), ("!!int 12", 12),
    ],
)  # fmt: skip
def test_scalars_are_what_both_versions_of_yaml_say(scalar, value):
    found = plain_yaml.read(f"key: {scalar}")["key"]
    assert (found, type(found)) == (value, type(value))


def test_what_is_not_a_number_is_refused_where_one_is_due(tmp_path):
    assert "'training.max_epochs' is '1:30:00'" in refused(tmp_path, RECIPE + "training: {max_epochs: 1:30:00}")
    assert "'seed' is 'on'" in refused(tmp_path, RECIPE + "seed: on")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("!!int x", r"mine.yaml:2: not valid YAML: 'x' is no int."),
        ("!!float x", r"mine.yaml:2: not valid YAML: 'x' is no float."),
        ("!!timestamp x", r"mine.yaml:2: not valid YAML: 'x' is no timestamp."),
        ("!!timestamp 2001-01-01T00:00:00+99:99", "is no timestamp"),
        ('"\\U00110000"', "mine.yaml:2: not valid YAML"),
        ("9" * 5000, "'99999"),
        ("[" * 3000, "mine.yaml:2: not valid YAML: it nests more than 50 deep"),
        ("{a: " * 3000, "nests more than 50 deep"),
        ("&a [*a]", "'*a' is a part of itself"),
        ("*a", "found undefined alias"),
        (".inf", "mine.yaml:2: not valid YAML: .inf is no finite number"),
        ("-.Inf", "is no finite number"),
        (".nan", "is no finite number"),
        ("1.0e+999", "is no finite number"),
        ("!!map 3", "mine.yaml:2: not valid YAML: a mapping is due"),
        ("!!seq 3", "mine.yaml:2: not valid YAML"),
        ('"\\0"', "'seed' is"),
        ("!!python/object:os.system x", "could not determine a constructor"),
    ],
)  # fmt: skip
def test_bad_scalars_and_depths_get_a_sentence(tmp_path, value, said):
    assert said in refused(tmp_path, RECIPE + f"seed: {value}\n")


def test_aliases_of_aliases_are_refused_at_once(tmp_path):
    rows = ["a0: &a0 [xxxxxxxxx, xxxxxxxxx]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    began = time.monotonic()
    assert "stands for more than 10,000 values" in refused(tmp_path, RECIPE + "\n".join(rows))
    assert time.monotonic() - began < 2


def test_a_value_is_shown_in_part(tmp_path):
    refused(tmp_path, RECIPE + "seed: &a [" + "x, " * 2000 + "x]")
    refused(tmp_path, RECIPE + "seed: " + "x" * 5000)


def test_an_alias_of_a_common_part_stays():
    assert plain_yaml.read("base: &base {a: 1, b: 2}\none: *base\n") == {
        "base": {"a": 1, "b": 2},
        "one": {"a": 1, "b": 2},
    }


def test_what_clew_writes_is_read_as_pyyaml_reads_it():
    for path in presets().values():
        written = base.to_yaml(load(str(path)))
        assert plain_yaml.read(written) == yaml.safe_load(written)


@pytest.mark.parametrize(
    "name", ["on", "1:30", "1e3", "0o7", "2001-01-01", "~", "=", "12", "010", "<<", "yes", "1_0", "0b1"]
)
def test_a_text_that_looks_like_a_value_comes_back_as_it_was(name):
    assert plain_yaml.read(yaml.safe_dump({"name": name})) == {"name": name}
