"""`clew tokenizer train` prints what it made, and `clew proofs stats` what a corpus holds."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import tokenizers

from clew.cli.main import main
from clew.cli.proofs.stats import main as stats
from clew.core import files
from clew.core.errors import EvidenceError, UsageError
from clew.proofs.corpus import read_corpus, split_by_theorem
from clew.proofs.files import Proof, file_name, write_proof
from clew.proofs.tokenizer_training import train_tokenizer
from clew.proofs.tokenizers import train_bpe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty goals of twenty theorems."""
    made = tmp_path_factory.mktemp("proofs")
    for number in range(40):
        proof = Proof(
            context=f"theorem t{number // 2}(a: A, b: A) {{\n    a + b = b + a\n}} by {{",
            goal=f"    (a + b) + {number} = (b + a) + {number}",
            premise=None,
            counterfactual=f"a + b + {number} != b + a + {number}",
            steps=("a + b = b + a", f"a + b + {number} = b + a + {number}"),
        )
        write_proof(made / file_name(number), proof)
    (made / "README.md").write_text("left alone")
    return made


def train(folder: Path, output: Path, *more: str) -> int:
    return main(["tokenizer", "train", "--data-dir", str(folder), "--output", str(output), *more])


def test_it_trains_on_the_training_split_alone_and_prints_both_figures(folder: Path, tmp_path: Path, capsys):
    output = tmp_path / "new" / "tokenizer.json"
    assert train(folder, output, "--vocab-size", "280", "--json") == 0
    printed = capsys.readouterr().out
    figures = json.loads(printed.splitlines()[-1])

    corpus = read_corpus(folder)
    split = split_by_theorem(corpus, 0.1, 42)
    alone = train_bpe([corpus.texts[index] for index in split.train], vocab_size=280)
    assert figures["sha256"] == files.sha256_of_file(output) == alone.fingerprint
    assert figures["evidence_sha256"] == corpus.fingerprint

    # The figures, counted by the library alone.
    peer = tokenizers.Tokenizer.from_file(str(output))
    for name, part in (("training", split.train), ("held_out", split.validation)):
        tokens = sum(len(peer.encode(corpus.texts[index]).ids) for index in part)
        expected = sum(len(corpus.texts[index].encode()) for index in part) / tokens
        assert figures[f"bytes_per_token_{name}"] == pytest.approx(expected)
        assert f"{expected:.3f}" in printed
    assert "vocabulary 280 of 280 wanted" in printed
    assert "NOT REACHED" not in printed
    assert "all 40 files come back exactly" in printed
    assert "left alone, no proof files: README.md" in printed
    assert "head line 0.0%" in printed


def test_it_says_so_when_the_vocabulary_is_not_reached(folder: Path, tmp_path: Path, capsys):
    assert train(folder, tmp_path / "tokenizer.json", "--style", "gpt2", "--json") == 0
    printed = capsys.readouterr().out
    assert "THE VOCABULARY WAS NOT REACHED" in printed
    assert json.loads(printed.splitlines()[-1])["vocab_size"] < 4096


def test_the_styles_are_listed(capsys):
    assert main(["tokenizer", "styles"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("(default)") == 1
    assert "gpt2" in printed


@pytest.mark.parametrize(
    ("more", "code", "what"),
    [
        (["--data-dir", "missing"], 1, "There is no folder missing"),
        (["--vocab-size", "255"], 2, "--vocab-size is 255: input should be greater than or equal to"),
        (["--validation-fraction", "1"], 2, "--validation-fraction is 1.0: input should be less than 1"),
        (["--style", "linse"], 2, "Did you mean 'lines'"),
        (["--output", "."], 2, "is a folder"),
        (["--outptu", "x"], 2, "--output"),
    ],
)
def test_wrong_calls_are_sentences(more: list[str], code: int, what: str, folder: Path, tmp_path: Path, capsys):
    assert train(folder, tmp_path / "tokenizer.json", *more) == code
    complaint = capsys.readouterr().err
    assert what in complaint
    assert "Traceback" not in complaint
    assert not (tmp_path / "tokenizer.json").exists()


def test_a_missing_or_unknown_subcommand_is_usage(capsys):
    assert main(["tokenizer"]) == 2
    assert main(["tokenizer", "trian"]) == 2
    assert "Did you mean 'train'" in capsys.readouterr().err


def test_stats_prints_a_table_and_json(folder: Path, capsys):
    assert stats([str(folder), "--json"]) == 0
    printed = capsys.readouterr().out
    figures = json.loads(printed.splitlines()[-1])
    assert figures["files"] == 40
    assert figures["strays"] == ["README.md"]
    assert figures["split"]["by_theorem"]["leakage"] == {"same_head_line": 0, "same_goal": 0, "exact_copies": 0}
    # Each goal's only neighbour stands beside it unless it was drawn too.
    assert figures["split"]["by_file"]["leakage"]["same_head_line"] >= 0.5
    assert "left alone" in printed


def test_stats_of_a_wrong_folder_is_a_sentence(tmp_path: Path):
    with pytest.raises(EvidenceError, match="holds no proof file"):
        stats([str(tmp_path)])
    with pytest.raises(UsageError):
        stats([])


@pytest.mark.parametrize("content", [b"SQLite format 3\0", b'{"mine": 1}', b"notes"])
def test_a_file_that_is_no_tokenizer_is_left_as_it_is(content: bytes, folder: Path, tmp_path: Path, capsys):
    output = tmp_path / "mine"
    output.write_bytes(content)
    assert train(folder, output) == 2
    assert "mine is there and is not a tokenizer" in capsys.readouterr().err
    assert output.read_bytes() == content
    assert train(folder, tmp_path / "tokenizer.json", "--vocab-size", "260") == 0
    assert train(folder, tmp_path / "tokenizer.json", "--vocab-size", "270") == 0


def test_python_trains_what_the_command_trains(folder: Path, tmp_path: Path):
    assert train(folder, tmp_path / "a.json", "--vocab-size", "270") == 0
    said: list[str] = []
    trained = train_tokenizer(folder, vocab_size=270, say=said.append)
    assert trained.tokenizer.fingerprint == files.sha256_of_file(tmp_path / "a.json")
    assert trained.style == "lines"
    assert "held out by theorem" in said[0]


def test_names_that_are_no_utf8_are_read_hashed_and_printed(folder: Path, tmp_path: Path, capsysbinary):

    copy = Path(shutil.copytree(folder, tmp_path / os.fsdecode(b"proofs \xff")))
    (copy / os.fsdecode(b"notes \xff")).write_text("left alone")
    first = copy / "proof_00000.txt"
    first.rename(copy / os.fsdecode(b"proof_\xff.txt"))
    assert stats([str(copy), "--json"]) == 0
    printed = capsysbinary.readouterr().out
    figures = json.loads(printed.splitlines()[-1])
    assert figures["files"] == 40
    assert r"notes \xff" in figures["strays"]
    assert train(copy, tmp_path / "tokenizer.json", "--vocab-size", "260") == 0


def test_a_folder_whose_name_is_too_long_is_a_sentence(tmp_path: Path):
    with pytest.raises(EvidenceError, match="There is no folder"):
        stats(["x" * 300])
