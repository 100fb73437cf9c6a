"""`clew proofs generate` and `check`: files, sentences and exit codes."""

import json

import pytest

from clew.cli.main import main


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proofs") / "corpus"
    assert main(["proofs", "generate", str(folder), "--theorems", "30", "--held-out", "4", "--seed", "3"]) == 0
    return folder


def test_a_generated_corpus_checks(corpus, capsys):
    assert main(["proofs", "check", str(corpus), "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "38 files checked, 38 accepted, 0 refused"
    assert json.loads(lines[-1]) == {"checked": 38, "accepted": 38, "refused": []}


def test_one_set_checks_alone(corpus, capsys):
    assert main(["proofs", "check", str(corpus / "held_out_new")]) == 0
    assert "4 files checked" in capsys.readouterr().out


def test_generating_says_what_came_of_it(tmp_path, capsys):
    arguments = ["--theorems", "20", "--held-out", "2", "--max-steps", "4", "--theories", "group", "loop", "--json"]
    assert main(["proofs", "generate", str(tmp_path / "out"), *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "train: 20 theorems, proofs of 2 to 4 lines" in lines[0]
    manifest = json.loads(lines[-1])
    assert manifest == json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["theories"] == ["group", "loop"]


def test_every_wrong_file_is_named_with_line_and_reason(corpus, tmp_path, capsys):
    source = (corpus / "train" / "proof_00000.txt").read_text()
    for number, text in enumerate(
        [source, source.rsplit("\n", 2)[0] + "\n", source.replace("@P", "@Q"), "no proof\n", source.replace(") {", "")]
    ):
        (tmp_path / f"proof_{number:05d}.txt").write_text(text)
    assert main(["proofs", "check", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "5 files checked, 1 accepted, 4 refused"
    for number, line in enumerate(lines[:4], start=1):
        place, _, sentence = line.partition(": ")
        assert place.startswith(str(tmp_path / f"proof_{number:05d}.txt:"))
        assert place.rpartition(":")[2].isdigit()
        assert sentence


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["check", "missing"], "There is no folder missing", 1),
        (["check", "empty"], "empty holds no proof file", 1),
        (["check"], "folder", 2),
        (["generate", "out", "--theorems", "0"], "theorems", 2),
        (["generate", "out", "--theorems", "-3"], "theorems", 2),
        (["generate", "out", "--theories", "grup"], "Did you mean 'group'", 2),
        (["generate", "used"], "used already exists", 1),
        (["genrate"], "Did you mean 'generate'", 2),
    ],
)
def test_wrong_input_gets_a_sentence(arguments, says, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("")
    assert main(["proofs", *arguments]) == code
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()
