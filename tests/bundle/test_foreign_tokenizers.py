"""A tokenizer.json of another tool is opened without harm, and never cuts or pads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from clew.bundle import tokenizer as bundle_tokenizer
from clew.bundle.load import load_bundle
from clew.bundle.tokenizer import open_tokenizer, without_cutting
from clew.core import files
from clew.core.errors import BundleError
from conftest import byte_tokenizer

TEXT = "a + b = b + a\n"


@pytest.fixture
def foreign(published: Path, tmp_path: Path) -> Path:
    """The published bundle as another tool would write it: no bundle.json."""
    folder = Path(shutil.copytree(published, tmp_path / "bundle"))
    (folder / "bundle.json").unlink()
    return folder


def cutting() -> Tokenizer:
    tokenizer = byte_tokenizer()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=20)
    return tokenizer


def test_a_bundle_does_not_cut_or_pad_though_its_tokenizer_says_so(foreign):
    cutting().save(str(foreign / "tokenizer.json"))
    assert load_bundle(foreign).encode(TEXT) == list(TEXT.encode())
    assert cutting().encode(TEXT).ids != list(TEXT.encode())


def test_what_ships_has_neither_and_is_else_the_same():
    plain = byte_tokenizer().to_str(pretty=True)
    assert without_cutting(cutting().to_str()) == plain
    assert without_cutting(plain) == plain


def test_a_panic_is_a_sentence_of_the_bundle(foreign):
    content = json.loads((foreign / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    (foreign / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match=r"tokenizer.json is not a tokenizer .*: it makes the library panic: Precomp"):
        load_bundle(foreign)


def test_a_panic_that_only_some_text_brings_about_is_a_sentence(foreign):
    loaded = load_bundle(foreign)

    class PanicException(BaseException):
        pass

    class Breaking:
        def encode(self, text, **options):
            raise PanicException("index out of bounds")

    loaded.tokenizer = Breaking()
    with pytest.raises(BundleError, match=r"broke down over .*tokenizer.json: index out of bounds"):
        loaded.encode(TEXT)


@pytest.mark.parametrize(
    ("program", "what"),
    [
        ("import os; os.abort()", r"abort \(signal 6\)"),
        ("import time; time.sleep(60)", "more than 0.5 s"),
        ("raise SystemExit(3)", "it says nothing"),
    ],
)
def test_a_trial_that_aborts_or_hangs_leaves_this_process_alone(monkeypatch, program, what):
    monkeypatch.setattr(bundle_tokenizer, "_TRIAL", program)
    monkeypatch.setattr(bundle_tokenizer, "TRIAL_SECONDS", 0.5)
    with pytest.raises(BundleError, match=what):
        open_tokenizer(byte_tokenizer().to_str() + " " * len(program), "foreign.json")


def test_a_bundle_whose_hashes_were_checked_starts_no_other_process(published, monkeypatch):
    monkeypatch.setattr(bundle_tokenizer.subprocess, "run", None)
    bundle_tokenizer._problem_in_trial.cache_clear()
    assert load_bundle(published).encode("a") == [97]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", "sub/model.onnx", "a\0b", ""])
def test_a_manifest_names_files_of_its_folder_alone(published, tmp_path, monkeypatch, name):
    folder = Path(shutil.copytree(published, tmp_path / "bundle"))
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["files"][name] = "0" * 64
    (folder / "bundle.json").write_text(json.dumps(manifest))
    hashed = []
    real = files.sha256_of_file
    monkeypatch.setattr(files, "sha256_of_file", lambda path: hashed.append(path) or real(path))
    with pytest.raises(BundleError, match="which is no name of a file in the bundle"):
        load_bundle(folder)
    assert all(path.parent == folder for path in hashed)
