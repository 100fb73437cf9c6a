"""`make fuzz`: thousands of spoiled inputs, each given to the command that reads it.

What is counted: what is no sentence with an exit code (tracebacks), what hangs, and what changed in existing files.
Everything is imported once; each case is a fork of that process. A case is a function of its id and the code:

    python tests/fuzz/campaign.py --case 1/recipe/17

The last line on stdout is one line of JSON; the exit code is 1 where a count is not 0.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import pkgutil
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "COLUMNS": "120",
}
os.environ.pop("CLEW_DEBUG", None)
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from commands import REPORT, SOLVER, TRAIN_SFT  # noqa: E402
from examples import copy_examples, inside, make_examples  # noqa: E402
from kinds import ALL, Kind  # noqa: E402
from kinds import KINDS as EARLIER_KINDS  # noqa: E402
from named import NAMED  # noqa: E402
from program_kinds import DEMONSTRATIONS, PLAYBOOK, PROGRAM_KINDS, TASKS  # noqa: E402
from sandbox import Case, Outcome, run_case  # noqa: E402

import clew as clew_package  # noqa: E402
from clew.cli.main import main as clew  # noqa: E402
from clew.cli.main import run  # noqa: E402
from clew.core import waiting as clew_waiting  # noqa: E402

KINDS = (*EARLIER_KINDS, *PROGRAM_KINDS)
LIMIT = 20.0
MEMORY = 3 << 30


def main() -> int:
    """Run the campaign, or the cases that are named."""
    parser = argparse.ArgumentParser(description="Spoiled inputs for every command.")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", help="this kind alone; may be given several times")
    parser.add_argument(
        "--case", action="append", default=[], help="the id of a case, to be run alone and told in full"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--show", type=int, default=3, help="how many cases to name of each fault")
    options = parser.parse_args()
    began = time.monotonic()
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="clew-fuzz-", dir=shared if os.access(shared, os.W_OK) else None) as place:
        root = Path(place)
        _prepare(root)
        if options.case:
            return _told(options.case, root)
        found = _run(_ids(options), root, options.workers)
    return _report(found, options, time.monotonic() - began)


def _prepare(root: Path) -> None:
    """Make the examples in a child, so that no thread starts here, and import what it had to."""
    (root / "examples").mkdir()
    listing = root / "modules"
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with (root / "said").open("w") as said:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
            sys.argv = ["clew"]  # a run notes how it was called
            with inside(root / "examples"):
                make_examples()
            listing.write_text("\n".join(list(sys.modules)))
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    if os.waitpid(pid, 0)[1]:
        sys.exit(f"The examples could not be made:\n{(root / 'said').read_text()[-3000:]}")
    ours = [module.name for module in pkgutil.walk_packages(clew_package.__path__, "clew.")]
    for name in [*ours, *listing.read_text().splitlines()]:
        if name not in sys.modules and not name.startswith(("__", "pytest")):
            try:
                importlib.import_module(name)
            except Exception:
                continue
    _warm(root)
    _shorten_waits()
    tempfile.tempdir = str(root)
    gc.collect()
    gc.freeze()


def _warm(root: Path) -> None:
    """Do once what each process does when it does a thing for the first time."""
    from clew.games.rules import GAMES

    devnull = os.open(os.devnull, os.O_WRONLY)
    kept = os.dup(1), os.dup(2)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    try:
        with inside(root):
            for game in GAMES:
                words = f"actor --env-id {game} --db warm.db --model none.onnx --episodes 1 --lanes 1 --simulations 2"
                clew(words.split())
        with inside(root / "examples"):
            # Nets of one architecture are traced once, and fonts are looked for once.
            clew(["export", "small", "../warm-export", "--runs-dir", "played"])
            clew(SOLVER.words.split())
            # The model that fine-tuning begins with is made where the machine has none yet.
            clew(TRAIN_SFT.words.split())
            # Compiled code is loaded once.
            for command in (*DEMONSTRATIONS, *PLAYBOOK, *TASKS[2:]):
                clew(command.words.split())
            clew(REPORT.words.replace("new.md", "../warm.md").split())
            clew(["runs", "compare", "runs/small", "begun/half", "--plot", "../warm.png"])
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)


def _shorten_waits() -> None:
    """Waiting for rows that do not come is no hang: a second stands for minutes."""
    pauses = clew_waiting.Pauses
    began = pauses.__init__

    def shorter(self: Any, longest: float, limit: float, **more: Any) -> None:
        began(self, longest, min(limit, 1.0) if 1.0 < limit < 1e6 else limit, **more)

    pauses.__init__ = shorter


def _ids(options: argparse.Namespace) -> list[str]:
    """The ids of the cases: the named ones, then so many of each kind as its share says."""
    kinds = [kind for kind in KINDS if not options.kind or kind.name in options.kind]
    named = [f"named/{name}" for name in NAMED] if not options.kind or "named" in options.kind else []
    total = sum(kind.share for kind in kinds)
    left = max(0, options.cases - len(named))
    # Rounded up: the campaign has the cases that were asked for, or a few more.
    ids = [
        f"{options.seed}/{kind.name}/{number}" for kind in kinds for number in range(-int(-left * kind.share // total))
    ]
    random.Random(options.seed).shuffle(ids)
    return named + ids


def _case(case_id: str, root: Path, folder: Path) -> Case:
    """Make the case of this id in `folder`."""
    first, *rest = case_id.split("/")
    if first == "named":
        copy_examples(root / "examples", folder, ALL)
        return NAMED[rest[0]](folder)
    kind: Kind = next(kind for kind in KINDS if kind.name == rest[0])
    copy_examples(root / "examples", folder, kind.needs)
    return kind.spoil(folder, random.Random(case_id))


def _tried(case_id: str, root: Path, place: Path) -> tuple[Case, Outcome]:
    # Some folders down: what a spoiled path names one or two folders up is still ours.
    folder = place / "a/b/c/work"
    case = _case(case_id, root, folder)
    tempfile.tempdir = str(place)
    return case, run_case(case, run, limit=LIMIT, memory=MEMORY)


def _run(ids: list[str], root: Path, workers: int) -> list[dict[str, Any]]:
    """Run the cases in `workers` forked processes; what each found, in a line of JSON."""
    children = []
    for number in range(workers):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                with (root / f"found-{number}").open("w") as file:
                    for case_id in ids[number::workers]:
                        place = root / f"worker-{number}"
                        case, outcome = _tried(case_id, root, place)
                        json.dump(_row(case_id, case, outcome), file)
                        file.write("\n")
                        file.flush()
                        shutil.rmtree(place, ignore_errors=True)
                code = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(pid)
    broken = [pid for pid in children if os.waitpid(pid, 0)[1]]
    rows = [
        json.loads(line) for number in range(workers) for line in (root / f"found-{number}").read_text().splitlines()
    ]
    if broken:
        sys.exit(f"The campaign itself failed after {len(rows):,} of {len(ids):,} cases.")
    return rows


def _row(case_id: str, case: Case, outcome: Outcome) -> dict[str, Any]:
    return {
        "id": case_id,
        "command": " ".join(case.argv)[:200],
        "done": [text[:200] for text in case.done],
        "code": outcome.code,
        "seconds": round(outcome.seconds, 3),
        "trace": outcome.trace,
        "hung": outcome.hung,
        "harmed": outcome.harmed[:5],
        "where": _where(outcome.err),
    }


def _where(err: str) -> str:
    """The file that holds the traceback, read for the last place in our code."""
    import re

    text = err
    found = re.search(r"with the file (\S+?)\.?$", err, re.MULTILINE)
    if found and Path(found[1]).is_file():
        text = Path(found[1]).read_text(errors="replace")
    places = re.findall(r'/clew/(\S+?)", line (\d+)', text)
    return ":".join(places[-1]) if places else ""


def _told(ids: list[str], root: Path) -> int:
    """Run these cases and tell all about them; their folders are kept."""
    failed = False
    for number, case_id in enumerate(ids):
        place = Path(tempfile.mkdtemp(prefix="clew-fuzz-case-", dir=root.parent)) / str(number)
        case, outcome = _tried(case_id, root, place)
        row = _row(case_id, case, outcome)
        failed |= bool(outcome.trace or outcome.hung or outcome.harmed)
        print(json.dumps(row, indent=2, ensure_ascii=True))
        for name, text in (("stdout", outcome.out[-3000:]), ("stderr", outcome.err[-6000:])):
            print(f"-- {name}\n{ascii_only(text)}")
        print(f"-- folder {case.folder}")
    return int(failed)


def ascii_only(text: str) -> str:
    """`text` for any terminal."""
    return text.encode("ascii", "backslashreplace").decode()


def _report(rows: list[dict[str, Any]], options: argparse.Namespace, seconds: float) -> int:
    """Name the failing cases by fault, then print the one line of JSON."""
    faults: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        for what, told in (
            ("traceback", row["trace"]),
            ("hang", row["hung"] and "hung"),
            ("harmed", row["harmed"] and row["harmed"][0]),
        ):
            if told:
                key = (what, row["where"] or " ".join(row["command"].split()[:2]) + ": " + str(told)[:60])
                faults.setdefault(key, []).append(row)
    for (what, where), found in sorted(faults.items()):
        first = str(found[0]["trace"] or found[0]["harmed"] or "hung")
        print(ascii_only(f"{what} x{len(found)} {where}: {first[:200]}"))
        for row in found[: options.show]:
            print(ascii_only(f"    --case {row['id']}  clew {row['command'][:120]}  <- {'; '.join(row['done'])[:200]}"))
    counts = {
        "cases": len(rows),
        "tracebacks": sum(row["trace"] is not None for row in rows),
        "hangs": sum(row["hung"] for row in rows),
        "files_harmed": sum(len(row["harmed"]) for row in rows),
        "seed": options.seed,
        "seconds": round(seconds, 1),
        "exit_codes": dict(sorted(Counter(str(row["code"]) for row in rows).items())),
        "kinds": dict(sorted(Counter(row["id"].split("/")[-2] for row in rows).items())),
    }
    if os.environ.get("CLEW_FUZZ_ROWS"):
        Path(os.environ["CLEW_FUZZ_ROWS"]).write_text("\n".join(map(json.dumps, rows)))
    print(json.dumps(counts))
    return int(bool(counts["tracebacks"] or counts["hangs"] or counts["files_harmed"]))


if __name__ == "__main__":
    sys.exit(main())
