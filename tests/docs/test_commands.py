"""Every command that README and docs show is run, page by page, in the order of the page.

What a command would take too long for (training to its end) is made small by flags added behind it; the command
itself is run as it stands.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import types
from pathlib import Path

import pytest

from clew.cli.main import main
from clew.core import lifeline, supervisor
from clew.proofs.files import read_proof
from forks import Forked
from pages import files_of
from small_sft import write_base_recipe, write_questions, write_traces

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

SMALL = {
    "train tactics": "--max-steps 2 --threads 1 --batch-size 2 --context-length 64 --d-model 16 --n-layers 1 "
    "--n-heads 2 --d-mlp 32 --sample-tokens 2 --compile no",
    "proofs generate": "",
    "evaluate proofs": "--seconds 0.05 --proposals 5 --max-tokens 8",
    "suggest": "--max-tokens 8",
    "tokenizer train": "",
    "loop arithmetic": "--loop.traces 40 --loop.questions 4 --loop.rounds 1 --max-steps 2 --threads 1 --compile no",
    "train (sft|arithmetic)": "--max-steps 2 --threads 1 --compile no",
    "train preference": "--max-steps 2 --threads 1 --compile no",
    "evaluate traces": "--max-tokens 8 --threads 1",
    "loop synthesis": "--rounds 1 --demonstrations 30 --tasks 12 --tried-again 4 --held-out 8 --nodes 500 "
    "--max-steps 2 --hidden-dim 16 --threads 1",
    "loop (?!arithmetic|synthesis)": "--iterations 1 --steps 4 --batch-size 8 --width 8 --lanes 8 --simulations 2 "
    "--eval-games 2 --evaluation-games 2 --replay-window 0 --max-reuse 0",
    "train guide": "--max-steps 2 --hidden-dim 16 --threads 1",
    "evaluate programs": "--at-most 2 --seconds 0.2 --limit 200",
    "train alphazero": "--max-steps 4 --batch-size 8 --width 8 --eval-games 2 --threads 1 --compile no",
    "evaluate games": "--games 4",
    "train (cartpole|ppo)": "--rollout-steps 32 --total-steps 64 --batch-size 16 --eval-episodes 2 --threads 1",
    "evaluate ppo": "",
    "games check": "--games 3",
    "tournament": "--games 4 --at-most 2",
    "actor": "--episodes 20 --lanes 10 --simulations 2",
}
REPLACED = {
    "--count 20000": "--count 40",
    "--count 500": "--count 4",
    "--count 200": "--count 4",
    "--theorems 3000": "--theorems 60",
    "--limit 20": "--limit 2",
    "--vocab-size 4096": "--vocab-size 300",
    "--episodes 100": "--episodes 2",
}


def commands_of(page: Path) -> list[str]:
    """The `clew ...` commands of a page: lines of its sh blocks, and of coming-from.md the code in its tables."""
    text = page.read_text(encoding="utf-8")
    found = [
        (match.start(), line.split("#")[0].strip())
        for match in re.finditer(r"```sh\n(.*?)```", text, re.DOTALL)
        for line in match[1].splitlines()
        if line.startswith("clew ")
    ]
    found += [
        (row.start(), code)
        for row in re.finditer(r"^\|(.*)\|$", text, re.MULTILINE)
        for code in re.findall(r"`(clew [^`]+)`", row[1])
        if page.name == "coming-from.md"
    ]
    return [command for _, command in sorted(found, key=lambda each: each[0])]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small generated corpus."""
    folder = tmp_path_factory.mktemp("docs") / "corpus"
    assert main(["proofs", "generate", str(folder), "--theorems", "60", "--seed", "1"]) == 0
    return folder


def forked(command: list[str], *, env: dict[str, str], **_: object) -> Forked:
    """The learner or the actor of a loop, without the seconds that it takes to import torch."""
    assert command[1:3] == ["-m", "clew.cli.main"]
    return Forked(*command[3:], env={name: value for name, value in env.items() if name != lifeline.VARIABLE})


@pytest.fixture
def workspace(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where a user works: proofs in data/proofs, a goal in goal.txt, traces, questions and a recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("sys.stdin", io.StringIO("quit\n"))
    monkeypatch.setattr(supervisor, "subprocess", types.SimpleNamespace(**vars(subprocess) | {"Popen": forked}))
    monkeypatch.setenv("CLEW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLEW_BASE_RECIPE", str(write_base_recipe(tmp_path)))
    write_traces(tmp_path / "traces.jsonl")
    write_questions(tmp_path / "questions.jsonl")
    (tmp_path / "recipe.yaml").write_text("model: {name: base, max_length: 100}\ntraining: {num_steps: 2}\n")
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/proofs").symlink_to(corpus / "train")
    proof = read_proof(next((corpus / "held_out_new").glob("proof_*.txt")))
    (tmp_path / "goal.txt").write_text(f"@G\n{proof.goal}\n@C\n{proof.counterfactual}\n", encoding="utf-8")
    return tmp_path


def made_small(command: str) -> list[str]:
    """The command's arguments, with flags behind them that keep it short."""
    for long, short in REPLACED.items():
        command = command.replace(long, short)
    for name, flags in SMALL.items():
        if re.match(rf"clew {name}\b", command):
            command = f"{command} {flags}"
    return shlex.split(command)[1:]


def newest(pattern: str) -> str:
    """The newest path of a pattern: what BUNDLE or CHECKPOINT stands for on a page."""
    return str(max(Path().glob(pattern), key=lambda path: path.stat().st_mtime))


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)], ids=lambda page: page.name)
def test_every_command_of_the_page_does_its_job(
    page: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = commands_of(page)
    for name, text in files_of(page).items():
        Path(name).write_text(text, encoding="utf-8")
    trains = any(command.startswith("clew train") for command in commands)
    needs_run = any(re.match(r"clew (resume|runs|export|evaluate proofs|suggest)", command) for command in commands)
    if needs_run and not trains:
        assert main(made_small("clew train tactics --data-dir data/proofs")) == 0
    for index, command in enumerate(commands):
        if "BUNDLE" in command:
            command = command.replace("BUNDLE", newest("export/*"))
        if "CHECKPOINT OUT" in command:
            command = command.replace("CHECKPOINT OUT", f"{newest('runs/*/checkpoints/step_*')} out-{index}")
        assert main(made_small(command)) == 0, f"{page.name}: {command}\n{capsys.readouterr().err}"


def test_pages_show_commands_at_all() -> None:
    counts = {page.name: len(commands_of(page)) for page in PAGES}
    assert counts["README.md"] >= 2
    assert counts["proofs.md"] >= 8
    assert counts["coming-from.md"] >= 8


def test_the_demo_does_its_whole_job_when_it_is_made_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    flags = "--theorems 200 --steps 2 --prove 2 --seconds 0.05 --proposals 5 --json"
    assert main(["demo", str(tmp_path), *flags.split()]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    folder = Path(figures["folder"])
    assert (folder / "guidance.png").stat().st_size > 10_000
    assert {"proved_with_model", "proved_without_model", "proved_by_both", "bits_per_byte"} <= set(
        figures["held_out_new"]
    )
    assert (next((folder / "export").iterdir()) / "bundle.json").is_file()
