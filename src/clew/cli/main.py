"""The `clew` command: finds the file of a command, runs it, and turns errors into sentences and exit codes.

Nothing heavy is imported here: `clew --help` answers within 0.3 s.
"""

from __future__ import annotations

import atexit
import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence

from clew.core.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    ClewError,
    UsageError,
    nearest,
    without_passwords,
)
from clew.core.lifeline import hold_on

Commands = Mapping[str, tuple[str, str]]
"""Command name -> (module or module:function that runs it, one line of help)."""

COMMANDS: Commands = {
    "train": ("clew.cli.runs.train", "train a model from a recipe: clew train tactics --data-dir data/proofs"),
    "resume": ("clew.cli.runs.resume", "continue a run exactly where its last checkpoint stands"),
    "runs": ("clew.cli.runs.listing", "list, show and compare runs"),
    "export": ("clew.cli.runs.export", "export a checkpoint as a verified ONNX bundle or for Hugging Face"),
    "suggest": ("clew.cli.proofs.suggest", "let a bundle write the next lines after a prompt"),
    "evaluate": ("clew.cli.evaluate", "evaluate a bundle on held-out data"),
    "actor": ("clew.cli.games.actor", "play games against oneself and write them into a replay database"),
    "loop": (
        "clew.cli.runs.loop",
        "evidence, training, evaluation, gate, and again: clew loop tictactoe, clew loop arithmetic",
    ),
    "games": ("clew.cli.games.check", "games of your own: clew games check my_game.py"),
    "replay": ("clew.cli.games.replay", "replay databases: show, stats, check"),
    "tournament": ("clew.cli.games.tournament", "checkpoints against each other: Elo with error bars"),
    "play": ("clew.cli.games.play", "play a game against a model in the terminal"),
    "proofs": ("clew.cli.proofs.files", "proof files: stats, generate, check"),
    "tokenizer": ("clew.cli.proofs.tokenizer", "train a tokenizer and print its compression"),
    "demo": ("clew.cli.proofs.demo", "the main job, small: generate, train, export, prove"),
    "traces": ("clew.cli.traces.traces", "reasoning traces: generate, import, list, show, compare, score"),
    "dataset": ("clew.cli.traces.dataset", "immutable datasets of traces: build, list, show, export, verify, diff"),
    "evalset": ("clew.cli.traces.evalset", "sets of questions with their answers: validate"),
    "report": ("clew.cli.traces.report", "what training changed: two evaluations, paired by question"),
    "serve": ("clew.cli.traces.serve", "traces, datasets and trainings over HTTP"),
    "programs": ("clew.cli.programs.programs", "programs and their tasks: list, check, run, demonstrate"),
    "synthesize": ("clew.cli.programs.synthesize", "search for a program that fits a task's examples"),
    "curriculum": ("clew.cli.programs.curriculum", "a folder of tasks as a curriculum with a manifest"),
    "feedback": ("clew.cli.traces.feedback", "rate answers, and make preference pairs from the ratings"),
    "release": ("clew.cli.runs.release", "copy the newest checkpoints into a release: make, verify, diff"),
    "doctor": ("clew.cli.runs.doctor", "what this machine has, what is missing, and how to mend it"),
}


def dispatch(commands: Commands, arguments: Sequence[str], *, program: str, about: str) -> int:
    """Run the command named by the first argument with the rest; return its exit code.

    A module named without a function is run by its `main(arguments: list[str]) -> int`.
    Raises `UsageError` for a missing or unknown command.
    """
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        width = max(len(name) for name in commands)
        lines = [f"usage: {program} COMMAND ...", "", about, "", "commands:"]
        lines += [f"  {name:<{width}}  {text}" for name, (_, text) in commands.items()]
        lines += ["", f"`{program} COMMAND --help` explains one command."]
        print("\n".join(lines), file=sys.stdout if arguments else sys.stderr)
        return EXIT_DONE if arguments else EXIT_USAGE
    name, *rest = arguments
    if name not in commands:
        raise UsageError(
            f"There is no command '{program} {name}'.{nearest(name, list(commands))} See `{program} --help`."
        )
    module_name, _, function = commands[name][0].partition(":")
    result = getattr(importlib.import_module(module_name), function or "main")(rest)
    return int(result)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `clew` with `arguments` (default: those of the process) and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] in (["--version"], ["-V"]):
        from clew import __version__

        print(f"clew {__version__}")
        return EXIT_DONE
    try:
        return dispatch(
            COMMANDS,
            arguments,
            program="clew",
            about="Trains the small models that guide a search and ships them as verified ONNX bundles.",
        )
    except ClewError as error:
        # Behind torchrun several processes may speak: each says which one it is.
        which = f" (process {os.environ.get('RANK', '0')})" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""
        # A stop that was asked for is no error.
        head = "clew" if error.exit_code == EXIT_INTERRUPTED else "clew: error"
        print(f"{head}{which}: {without_passwords(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("clew: interrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`clew runs list | head`): nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except MemoryError:
        print(
            "clew: error: There is not enough memory for this. Choose smaller sizes (batch, context, width, window), "
            "or a machine with more.",
            file=sys.stderr,
        )
        return EXIT_FAILED
    except Exception as error:
        return _report_bug(error, arguments)


def _report_bug(error: Exception, arguments: Sequence[str]) -> int:
    """Say that Clew itself failed, and keep the traceback in a file for the report."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="clew-crash-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        told = f"clew {' '.join(arguments)}\n\n{''.join(traceback.format_exception(error))}"
        file.write(without_passwords(told))
    print(
        f"clew: error: Clew itself failed: {type(error).__name__}: {without_passwords(str(error))}. This is a bug; "
        f"please report it with the file {file.name}.",
        file=sys.stderr,
    )
    if os.environ.get("CLEW_DEBUG"):
        raise error
    return EXIT_FAILED


def run() -> None:
    """Entry point of the installed command."""
    if isinstance(sys.stderr, io.TextIOWrapper):
        # torchrun starts its workers unbuffered, where print writes a line's end apart from the line: the
        # sentences of two processes would run into one another.
        sys.stderr.reconfigure(line_buffering=True, write_through=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name may hold bytes that are no UTF-8; they are printed as JSON writes them.
        sys.stdout.reconfigure(errors="backslashreplace")
    hold_on()
    code = main()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # gloo leaves threads behind whose destruction aborts a process at its very end now and then, after all is
        # done; torchrun would call the run failed. So the process ends without the destructors of native libraries.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
