"""The `clew` command: quick help, sentences for what is wrong, exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clew.cli import main as cli
from clew.cli.main import COMMANDS, dispatch, main
from clew.core.errors import ClewError, UsageError


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, (_, text) in COMMANDS.items():
        assert f"  {name} " in shown
        assert text in shown


def test_without_a_command_the_help_goes_to_stderr_and_the_code_is_usage(capsys):
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "usage: clew COMMAND" in said.err


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"], ["runs", "list", "--help"]])
def test_help_imports_neither_torch_nor_onnxruntime_nor_transformers(arguments):
    program = (
        "import sys; from clew.cli.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'onnxruntime', 'transformers'}))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"


def test_the_plain_help_imports_next_to_nothing():
    program = (
        "import sys; from clew.cli.main import main; main(['--help'])\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'numpy', 'pydantic', 'tyro', 'rich', 'yaml'}))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["reume"]) == 2
    assert capsys.readouterr().err == (
        "clew: error: There is no command 'clew reume'. Did you mean 'resume'? See `clew --help`.\n"
    )


def test_every_command_has_a_file_that_says_what_it_does(capsys):
    for name in COMMANDS:
        try:
            code = main([name, "--help"])
        except SystemExit as stop:
            code = stop.code or 0
        assert code == 0, name
        assert f"usage: clew {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ClewError("It broke."), 1, "clew: error: It broke.\n"),
        (UsageError("It was called wrongly."), 2, "clew: error: It was called wrongly.\n"),
        (KeyboardInterrupt(), 130, "clew: interrupted.\n"),
    ],
)
def test_errors_become_sentences_and_codes(monkeypatch, capsys, error, code, said):
    def fail(*arguments, **named):
        raise error

    monkeypatch.setattr(cli, "dispatch", fail)
    assert main(["train"]) == code
    assert capsys.readouterr().err == said


def test_behind_torchrun_an_error_says_whose_it_is(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert main(["reume"]) == 2
    assert capsys.readouterr().err.startswith("clew: error (process 1): There is no command")


def test_a_fault_of_clew_itself_is_kept_in_a_file_for_the_report(monkeypatch, capsys, tmp_path):
    def fail(*arguments, **named):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(cli, "dispatch", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["train", "tactics"]) == 1
    said = capsys.readouterr().err
    (report,) = tmp_path.glob("clew-crash-*.txt")
    assert str(report) in said
    assert "Traceback" not in said
    assert "ZeroDivisionError: by nothing" in report.read_text()
    assert report.read_text().startswith("clew train tactics\n")


def test_a_reader_that_goes_away_is_no_error():
    command = [sys.executable, "-c", "from clew.cli.main import run; import sys; sys.argv[1:] = ['--help']; run()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 0, said
    assert said == ""


def test_a_command_gets_its_arguments_and_gives_its_code():
    assert dispatch({"x": ("clew.cli.main:main", "")}, ["x", "--version"], program="p", about="") == 0


def test_a_fault_is_reported_where_an_argument_is_no_utf8(monkeypatch, capsys, tmp_path):
    def fail(*arguments, **named):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(cli, "dispatch", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["train", "\udcfe"]) == 1
    assert "Clew itself failed" in capsys.readouterr().err
    (report,) = tmp_path.glob("clew-crash-*.txt")
    assert report.read_text().startswith("clew train \\udcfe\n")


def test_a_name_that_is_no_utf8_is_printed_escaped(tmp_path):
    command = [sys.executable, "-m", "clew.cli.main", "runs", "list", "--runs-dir", b"runs-\xff"]
    told = subprocess.run(command, capture_output=True, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert b"There are no runs in runs-\\udcff." in told.stdout


def test_too_little_memory_is_a_sentence(monkeypatch, capsys):
    def fail(*arguments, **named):
        raise MemoryError

    monkeypatch.setattr(cli, "dispatch", fail)
    assert main(["train"]) == 1
    assert "clew: error: There is not enough memory" in capsys.readouterr().err


def test_no_error_shows_a_password(monkeypatch, capsys):
    def fail(*arguments, **named):
        raise ClewError("There is no postgresql://user:secret@host/db.")

    monkeypatch.setattr(cli, "dispatch", fail)
    assert main(["train"]) == 1
    assert capsys.readouterr().err == "clew: error: There is no postgresql://user@host/db.\n"
