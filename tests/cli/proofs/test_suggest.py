"""`clew suggest`, as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import clew.bundle.suggest
from clew.bundle.load import load_bundle
from clew.cli.main import main
from clew.core.errors import UsageError

PROMPT = "@G\na = b\n@C\na != b\n@P\n"


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    path = tmp_path / "prompt.txt"
    path.write_text(PROMPT)
    return path


def suggest(*arguments: object) -> int:
    return main(["suggest", *map(str, arguments), "--max-tokens", "6"])


def document(capsys, *arguments: object) -> dict:
    assert suggest(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_it_prints_each_distinct_line_once_with_its_count(published, prompt, capsys):
    result = document(capsys, published, "--prompt", prompt, "-k", 12)
    lines = result["lines"]
    assert sum(line["count"] for line in lines) == 12
    assert len({(line["text"], line["finished"]) for line in lines}) == len(lines)
    assert all(line["probability"] == pytest.approx(2.718281828 ** line["logprob"]) for line in lines)
    assert suggest(published, "--prompt", prompt, "-k", 12) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(lines) + 1


def test_the_seed_decides(published, prompt, capsys):
    first = document(capsys, published, "--prompt", prompt, "--seed", 1)
    assert document(capsys, published, "--prompt", prompt, "--seed", 1) == first
    assert document(capsys, published, "--prompt", prompt, "--seed", 2)["lines"] != first["lines"]
    greedy = document(capsys, published, "--prompt", prompt, "--temperature", 0)
    assert [line["count"] for line in greedy["lines"]] == [8]


def test_a_prompt_without_its_marker_gets_one_and_it_is_said(published, prompt, capsys):
    expected = document(capsys, published, "--prompt", prompt)
    for shorter in (PROMPT.removesuffix("\n"), PROMPT.removesuffix("@P\n"), PROMPT.removesuffix("\n@P\n")):
        prompt.write_text(shorter)
        assert suggest(published, "--prompt", prompt, "--json") == 0
        output = capsys.readouterr()
        assert json.loads(output.out) == expected
        assert ("it was added" in output.err) == ("@P" not in shorter)


def test_control_characters_do_not_reach_the_terminal(published, prompt, capsys):
    assert suggest(published, "--prompt", prompt, "-k", 64) == 0
    assert all(character.isprintable() or character == "\n" for character in capsys.readouterr().out)


def test_a_prompt_from_standard_input_and_no_torch(published):
    # The process that trains needs torch; a host must start without it.
    script = (
        "import sys; from clew.cli.main import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'transformers', 'scipy', 'onnx', 'pandas'} & set(sys.modules);"
        "print(heavy or 'light'); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "suggest", str(published), "--prompt", "-", "--max-tokens", "5"],
        input=PROMPT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "light"


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        (["--prompt", "nowhere.txt"], 1, "Could not read the prompt nowhere.txt"),
        (["--top-p", "2"], 2, "top-p must be"),
        (["--max-tokens", "48"], 2, "the context of this bundle is 48"),
        (["-k", "0"], 2, "greater than or equal to 1"),
        (["--colour", "red"], 2, "--colour"),
    ],
)
def test_what_is_wrong_is_a_sentence_and_an_exit_code(published, prompt, capsys, change, code, sentence):
    assert main(["suggest", str(published), "--prompt", str(prompt), "--max-tokens", "6", *change]) == code
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error


def test_a_bundle_or_prompt_that_is_none_is_said(published, prompt, tmp_path, capsys):
    assert suggest(tmp_path, "--prompt", prompt) == 1
    assert "is not a bundle: it lacks model.onnx" in capsys.readouterr().err
    prompt.write_bytes(b"@G\n\xff\n")
    assert suggest(published, "--prompt", prompt) == 2
    assert "is not UTF-8: byte 3" in capsys.readouterr().err
    prompt.write_text("\n")
    assert suggest(published, "--prompt", prompt) == 2
    assert "The prompt is empty" in capsys.readouterr().err


def test_a_closed_standard_input_is_said(published, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert suggest(published, "--prompt", "-") == 2
    assert "Standard input is closed" in capsys.readouterr().err


def test_a_path_that_is_too_long_is_said(published, prompt, capsys):
    assert suggest(published, "--prompt", "x" * 300) == 1
    assert "too long for this system" in capsys.readouterr().err
    assert suggest("x" * 300, "--prompt", prompt) == 1
    assert "There is no bundle xxx" in capsys.readouterr().err


def test_python_gets_what_the_command_prints(published, prompt, capsys):
    printed = document(capsys, published, "--prompt", prompt, "-k", 12, "--seed", 5)["lines"]
    suggestions = clew.bundle.suggest.suggest(published, PROMPT, 12, max_tokens=6, seed=5)
    assert [(each.text, each.count, each.logprob, each.finished) for each in suggestions] == [
        (line["text"], line["count"], line["logprob"], line["finished"]) for line in printed
    ]
    loaded = load_bundle(published)
    assert clew.bundle.suggest.suggest(loaded, PROMPT.removesuffix("@P\n"), 12, max_tokens=6, seed=5) == suggestions
    with pytest.raises(UsageError, match="k is 0"):
        clew.bundle.suggest.suggest(loaded, PROMPT, 0)
