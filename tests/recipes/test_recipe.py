"""Recipes: one class, YAML and flags; what is unknown is named with the nearest that is known."""

from __future__ import annotations

import itertools
import re

import pytest

from clew.cli.runs.train import parse
from clew.core.errors import ClewError, UsageError
from clew.recipes import base as recipes
from clew.recipes import load, presets, recipe_class
from clew.recipes.base import Section
from clew.recipes.families import known
from clew.recipes.next_token import NextTokenRecipe


def from_yaml(tmp_path, text: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load(str(path))


def sections(kind: type[Section]):
    yield kind
    for field in kind.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from sections(field.annotation)


def test_an_unknown_key_names_the_nearest(tmp_path):
    with pytest.raises(UsageError, match=r"mine\.yaml: unknown key 'sed'\. Did you mean 'seed'\?"):
        from_yaml(tmp_path, "objective: next_token\nsed: 1\n")


def test_an_unknown_key_of_a_section_names_the_nearest_of_that_section(tmp_path):
    with pytest.raises(UsageError, match=r"unknown key 'model\.d_modell'\. Did you mean 'd_model'\? Known here: con"):
        from_yaml(tmp_path, "objective: next_token\nmodel: {d_modell: 64}\n")


def test_every_fault_is_named_at_once(tmp_path):
    with pytest.raises(UsageError, match=r"(?s)'training\.batch_size' is 0: .*unknown key 'data\.folder'"):
        from_yaml(tmp_path, "objective: next_token\ntraining: {batch_size: 0}\ndata: {folder: x}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("objective: next_token\nseed: 1\nseed: 2\n", r"mine\.yaml:3: .*the key 'seed' stands twice"),
        ("objective: next_token\ntraining:\n  clip: 1\n  clip: 2\n", r"mine\.yaml:4: .*the key 'clip' stands twice"),
        ("objective: next_token\n  name: a\n", r"mine\.yaml:2: not valid YAML"),
        ("training: {batch_size: 3", r"mine\.yaml:1: not valid YAML"),
        ("objective: \x00", r"mine\.yaml: not valid YAML: unacceptable character"),
        ("? [a]\n: b\n", r"mine\.yaml:1: not valid YAML: a key must be a word or a number"),
        ("- a\n", "holds no recipe"),
        ("", "holds no recipe"),
        ("name: x\n", "the key 'objective' is missing"),
        ("objective: next_tokens\n", r"no objective 'next_tokens'\. Did you mean 'next_token'\?"),
        ("objective: next_token\ntraining: 5\n", "'training' is 5"),
        ("objective: next_token\nname: a/b\n", "'name' is 'a/b'"),
        ("objective: next_token\nmodel: {d_model: 30, n_heads: 8}\n", "d_model 30 must be n_heads 8 times an even"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, text, said):
    with pytest.raises(UsageError, match=said) as caught:
        from_yaml(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_file_in_another_encoding_or_not_there_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        load(str(tmp_path / "mine.yaml"))
    with pytest.raises(ClewError, match=r"Could not read .*none\.yaml\. There is no such file"):
        load(str(tmp_path / "none.yaml"))


def test_yaml_sets_and_flags_override(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("objective: next_token\ntraining: {batch_size: 8, learning_rate: 3e-4}\nmodel: {d_model: 64}\n")
    made, options = parse(str(path), ["--batch-size", "16", "--runs-dir", "elsewhere"])
    assert isinstance(made, NextTokenRecipe)
    assert (made.training.batch_size, made.training.learning_rate, made.model.d_model) == (16, 3e-4, 64)
    assert made.model.n_layers == NextTokenRecipe().model.n_layers
    assert str(options.runs_dir) == "elsewhere"


def test_flags_are_held_to_the_same_conditions_as_yaml():
    with pytest.raises(UsageError, match="d_model 30 must be n_heads 8 times an even number"):
        parse("next_token", ["--d-model", "30"])
    with pytest.raises(UsageError, match="--batch-size is 0: input should be greater than or equal to 1"):
        parse("next_token", ["--batch-size", "0"])


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        NextTokenRecipe().training.batch_size = 3


def test_a_recipe_survives_its_yaml(tmp_path):
    made = NextTokenRecipe(name="mine", seed=-3)
    (tmp_path / "r.yaml").write_text(recipes.to_yaml(made))
    assert recipes.validate(NextTokenRecipe, recipes.read_yaml(tmp_path / "r.yaml"), "r.yaml") == made


def test_the_hash_is_of_the_values_and_not_of_their_spelling(tmp_path):
    one = from_yaml(tmp_path, "objective: next_token\nseed: 1\ntraining: {learning_rate: 3e-4, batch_size: 32}\n")
    other = from_yaml(tmp_path, "training: {batch_size: 32.0, learning_rate: 0.0003}\nobjective: next_token\nseed: 1\n")
    assert recipes.sha256(one) == recipes.sha256(other)
    assert recipes.sha256(one) != recipes.sha256(from_yaml(tmp_path, "objective: next_token\nseed: 2\n"))


def test_every_field_says_in_help_what_it_is(capsys):
    for objective in known():
        kind = recipe_class(objective)
        with pytest.raises(SystemExit) as stop:
            parse(objective, ["--help"])
        assert stop.value.code == 0
        shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
        for name, field in itertools.chain.from_iterable(each.model_fields.items() for each in sections(kind)):
            assert field.description, f"{objective}: {name} has no docstring"
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
                continue
            assert re.search(rf"--([a-z-]+\.)*{name.replace('_', '-')}\b", shown), name
            assert " ".join(field.description.split()) in shown


@pytest.mark.parametrize("name", presets())
def test_shipped_recipes_load(name):
    assert load(name).name == name


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(UsageError, match=r"no recipe 'tactic-bytes'\. Did you mean 'tactics-bytes'\?"):
        load("tactic-bytes")


@pytest.mark.parametrize("tag", ['!!python/object/apply:os.mkdir ["made"]', "!!python/name:os.system"])
def test_a_tag_that_would_make_an_object_is_refused_and_nothing_is_made(tmp_path, monkeypatch, tag):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(f"name: {tag}\n")
    with pytest.raises(UsageError, match=r"recipe\.yaml:1: not valid YAML: could not determine a constructor"):
        recipes.read_yaml(tmp_path / "recipe.yaml")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--learning-rate", "inf"], "--learning-rate is "),
        (["--learning-rate", "1e400"], "--learning-rate is "),
        (["--max-epochs", "nan"], "--max-epochs is "),
        (["--betas", "1", "2"], "less than 1"),
        (["--betas", "nan", "0.9"], "finite"),
        (["--betas", "-0.1", "0.9"], "greater than or equal to 0"),
        (["--warmup-steps", str(2**63)], "64 bits"),
        (["--max-steps", str(2**70)], "64 bits"),
        (["--max-steps", "9" * 5000], "max"),
    ],
)
@pytest.mark.parametrize("target", ["next_token", "alphazero"])
def test_a_number_that_nothing_counts_with_is_refused(target, flags, said):
    with pytest.raises(UsageError) as error:
        parse(target, flags)
    assert said in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("seed: true", "'seed' is True: a number is due."),
        ("training: {learning_rate: true}", "'training.learning_rate' is True: a number is due."),
        ("training: {learning_rate: .inf}", "mine.yaml:2: not valid YAML: .inf is no finite number."),
        ("training: {clip: inf}", "'training.clip' is 'inf': input should be a finite number."),
        ('data: {tokenizer: "\\0"}', "no name or path holds a zero byte"),
        ("training: {betas: [0.9, 1.0]}", "'training.betas.1' is 1.0: input should be less than 1."),
        (f"training: {{max_steps: {2**63}}}", f"'training.max_steps' is {2**63}: at most 64 bits can be counted with."),
    ],
)
def test_so_it_is_in_yaml(tmp_path, yaml, said):
    with pytest.raises(UsageError) as error:
        from_yaml(tmp_path, f"objective: next_token\n{yaml}\n")
    assert said in str(error.value)


def test_a_seed_may_be_any_whole_number(tmp_path):
    assert from_yaml(tmp_path, f"objective: next_token\nseed: {2**70}\n").seed == 2**70


@pytest.mark.parametrize(
    ("target", "flags"),
    [
        ("next_token", ["--batch-size", str(2**62)]),
        ("next_token", ["--n-layers", str(2**31)]),
        ("next_token", ["--d-model", str(2**31)]),
        ("next_token", ["--threads", str(2**31)]),
        ("alphazero", ["--batch-size", str(2**40)]),
        ("alphazero", ["--depth", str(2**31)]),
        ("alphazero", ["--lanes", str(2**40)]),
    ],
)
def test_a_size_that_no_memory_holds_is_refused_at_once(target, flags):
    with pytest.raises(UsageError, match="less than or equal to"):
        parse(target, flags)


@pytest.mark.parametrize("name", ["", " ", "a b", "x" * 200, "²"])
def test_a_name_that_is_none_is_refused_with_its_flag(name):
    with pytest.raises(UsageError, match=r"--name is '.*': string should match pattern"):
        parse("next_token", ["--name", name])


@pytest.mark.parametrize("key", ["1", "null", "true", "1.5"])
def test_a_key_that_is_no_word_is_named(tmp_path, key):
    with pytest.raises(UsageError, match=r"mine\.yaml: the key \S+ is no word"):
        from_yaml(tmp_path, f"objective: next_token\n{key}: 1\n")


def test_a_key_that_is_no_word_in_a_section_is_named(tmp_path):
    with pytest.raises(UsageError, match="mine"):
        from_yaml(tmp_path, "objective: next_token\ntraining: {1: 2}\n")
