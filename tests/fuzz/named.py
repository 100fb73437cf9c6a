"""The best-known faults of earlier campaigns, each as a case of its own that runs in every campaign."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from commands import KEPT
from sandbox import SECRET, Case, Outcome
from spoiling import (
    ALIASES,
    TOKENIZERS,
    asked,
    dims,
    each,
    edited,
    gone,
    graph,
    long_line,
    outside,
    replaced,
    undecodable_output,
    watched_repository,
    without_numbers,
    written,
)

NAMED: dict[str, Callable[[Path], Case]] = {}
HALF = "begun/half"
RESUME_HALF = f"resume {HALF}"
TRAIN = "train recipe.yaml --runs-dir new"
PLAYED = "train games.yaml --runs-dir new"
COMPARE = "runs compare runs/small begun/half"
SUGGEST = "suggest bundle --prompt prompt.txt -k 2 --max-tokens 4"
AGAINST_RANDOM = "evaluate games --model nets/model_step_000001.onnx --games 2"
TOKENIZER = "tokenizer train --data-dir corpus --validation-fraction 0.3 --vocab-size 260"
RESUME_SMALL = "resume runs/small --checkpoint 2"
MANIFEST = "runs/small/run_manifest.json"
CHANGED = ("*/run_manifest.json", "*/metrics.jsonl", "*/stats.json", "ok:runs/small/*")
Spoil = Callable[[Path], object]
Check = Callable[[Case, Outcome], str | None]


def refused(case: Case, outcome: Outcome) -> str | None:
    """What is wrong must not end well."""
    return None if outcome.code else "it was taken without a word"


def saying(*words: str) -> Check:
    """Each of `words` must stand in what the command says."""

    def check(case: Case, outcome: Outcome) -> str | None:
        missing = [word for word in words if word not in outcome.out + outcome.err]
        return f"it does not say {missing[0]}" if missing else None

    return check


def never_saying(*words: str) -> Check:
    """None of `words` may stand in what the command says."""

    def check(case: Case, outcome: Outcome) -> str | None:
        said = [word for word in words if word in outcome.out + outcome.err]
        return f"it says {said[0]}" if said else None

    return check


NOT_ANEW = never_saying("starts anew")


def _nothing_ran(case: Case, outcome: Outcome) -> str | None:
    return "the repository's program was run" if (case.folder / "ran").exists() else None


def plain(
    name: str,
    words: str,
    *more: str,
    check: Check | None = None,
    spoil: Spoil | None = None,
    stdin: bytes | None = b"",
    changes: tuple[str, ...] = ("models/*.onnx", "stats.json"),
    findings: bool = False,
) -> None:
    """Add the case `name`: the command `words`, then the arguments `more`, after `spoil` changed the files."""

    def make(folder: Path) -> Case:
        done = () if spoil is None else (name,)
        if spoil is not None:
            spoil(folder)
        argv = [*words.split(), *more]
        return Case(folder, argv, stdin=stdin, changes=changes, findings=findings, done=done, check=check)

    NAMED[name] = make


# What was lost.
plain("pointer-gone", RESUME_HALF, spoil=gone(f"{HALF}/checkpoints/latest.json"), changes=KEPT, check=NOT_ANEW)
plain(
    "both-pointers-gone",
    RESUME_HALF,
    spoil=each(gone(f"{HALF}/checkpoints/latest.json"), gone(f"{HALF}/checkpoints/best.json")),
    changes=KEPT,
    check=NOT_ANEW,
)
plain(
    "back-with-damaged-metrics",
    "resume runs/small --checkpoint 2",
    spoil=replaced("runs/small/metrics.jsonl", "{", "{{"),
    changes=("*/run_manifest.json",),
)
plain("statistics-onto-the-database", f"{PLAYED} --stats replay.db", check=refused)
plain("statistics-onto-a-new-database", f"{PLAYED} --db replay.db --stats ./corpus/../replay.db", check=refused)
plain("plot-onto-notes", f"{COMPARE} --plot notes.txt", check=refused)
plain("plot-onto-a-database", f"{COMPARE} --plot replay.db", check=refused)
plain("tokenizer-onto-notes", f"{TOKENIZER} --output notes.txt", check=refused)
plain("report-onto-a-foreign-report", f"{AGAINST_RANDOM} --output mine", spoil=written("mine/report.json", "[1, 2]\n"))

# What succeeded and should not have.
plain("bundle-of-nan", SUGGEST, spoil=graph(without_numbers), check=refused)
plain("sexagesimal", PLAYED, spoil=replaced("games.yaml", "max_wait: 0.3", "max_wait: 1:30:00"), check=refused)
plain("on-as-one", TRAIN, spoil=replaced("recipe.yaml", "seed: 42", "seed: on"), check=refused)
plain("octal", TRAIN, spoil=replaced("recipe.yaml", "max_steps: 4", "max_steps: 010"), check=saying("10 steps planned"))
plain(
    "markup-in-a-value",
    f"{COMPARE} --plot out.png",
    spoil=replaced(f"{HALF}/recipe.yaml", "data_dir: corpus", 'data_dir: "[red]here"'),
    check=saying("[red]here"),
)
plain(
    "all-rows-broken",
    PLAYED,
    spoil=asked("replay.db", "UPDATE transitions SET policy_probs = x'0000c07f'"),
    check=never_saying("high <= 0"),
)
plain(
    "players-without-end",
    "replay check actor.db",
    spoil=asked("actor.db", "UPDATE game_metadata SET player_count = 4611686018427387904, board_width = 2"),
    check=refused,
    findings=True,
)

# What ended in a traceback, or never.
for _number, _scalar in enumerate(
    (
        *("2001-99-99", "0b", "0o9", "!!int x", "!!float x", "!!timestamp x", "=", "<<", '"\\U00110000"', "9" * 5000),
        *("2001-01-01T00:00:00+99:99", "[" * 3000, "{" * 3000, "!!binary é"),
    )
):
    _spoil = replaced("recipe.yaml", "max_steps: 4", f"max_steps: {_scalar}")
    plain(f"yaml-scalar-{_number}", TRAIN, spoil=_spoil, check=refused)
plain("yaml-aliases", TRAIN, spoil=written("recipe.yaml", ALIASES), check=refused)
for _flag, _value in (
    *(("learning-rate", "inf"), ("learning-rate", "1e400"), ("learning-rate", "nan"), ("weight-decay", "inf")),
    *(("clip", "nan"), ("batch-size", 2**64), ("batch-size", 2**62), ("context-length", 2**63), ("d-mlp", 2**70)),
    *(("d-mlp", 2**40), ("max-steps", 2**63), ("vocab-size", "9" * 5000), ("betas", "1 2"), ("betas", "nan 0.9")),
):
    plain(f"train-{_flag}-{str(_value)[:8].replace(' ', '-')}", f"{TRAIN} --{_flag} {_value}", check=refused)
plain("train-seed", f"{TRAIN} --seed {2**70}")
plain("train-epochs-without-end", f"{TRAIN} --max-steps 0 --max-epochs inf", check=refused)
plain("wait-without-end", f"{PLAYED} --batch-size 4096 --max-wait inf", check=refused)
plain("pause-without-end", f"{PLAYED} --wait-interval inf --max-wait inf --env-id connect4", check=refused)
plain("window-past-64-bits", f"{PLAYED} --replay-window {2**64}", check=refused)
for _words in (
    *("runs list --runs-dir", "doctor --runs-dir", "proofs stats", "suggest bundle --prompt", "replay check", "train"),
    *("evaluate games --model", "play tictactoe --model", "resume", "export", "actor --episodes 1 --db"),
    "tournament --model-dir",
):
    for _what, _path in (("long", "a" * 300), ("undecodable", "\udcff\udcfe"), ("through-a-file", "notes.txt/x")):
        _name = f"path-{_what}-{_words.replace(' --', '-').replace(' ', '-')}"
        plain(_name, _words, _path, findings=_words.startswith("doctor"))
plain("runs-dir-undecodable", "train recipe.yaml --runs-dir", "\udcff")
plain("file-undecodable", TRAIN, spoil=written("corpus/proof_\udcff.txt", "@T\ntheorem t(a: T) {\n@G\nx\n@C\nx\n@P\n"))
plain("suggest-closed-input", "suggest bundle --prompt -", stdin=None, check=refused)
plain("play-closed-input", "play tictactoe --model nets/model_step_000001.onnx --simulations 2", stdin=None)
for _number, _line in enumerate(
    (
        *(
            "null",
            "{}",
            '{"step": null, "loss": 1}',
            '{"step": 1, "loss": NaN}',
            '{"loss": 1}',
            '{"step": 1}',
            "1",
            "[1]",
        ),
        *('{"step": 1, "evaluation": null}', '{"step": 1, "evaluation": {}, "improved": true}'),
        '{"step": 2, "evaluation": {"x": null}, "improved": true}',
    )
):
    for _words in ("runs show runs/small", "runs list --runs-dir runs", f"{COMPARE} --plot out.png", RESUME_SMALL):
        _name = f"metrics-{_number}-{_words.split()[1 if _words.startswith('runs') else 0]}"
        _spoil = written("runs/small/metrics.jsonl", (_line + "\n") * 12)
        plain(_name, _words, spoil=_spoil, changes=CHANGED)
for _words in ("runs list", "runs show small", "runs show", "export small out", "resume small"):
    for _what, _spoil in {
        "no-created-at": edited(MANIFEST, lambda value: value.pop("created_at")),
        "deep-manifest": written(MANIFEST, "[" * 100_000),
        "long-digits": replaced(MANIFEST, '"seed": 42', '"seed": ' + "4" * 5000),
    }.items():
        plain(f"{_what}-{_words.replace(' ', '-')}", f"{_words} --runs-dir runs", spoil=_spoil, changes=KEPT)
for _words in ("runs list", "runs show small", "export small out"):
    plain(
        f"one-bad-run-{_words.replace(' ', '-')}",
        f"{_words} --runs-dir runs",
        spoil=written("runs/bad/run_manifest.json", "{"),
        check=lambda case, outcome: "one bad run blocks the others" if outcome.code else None,
    )
plain("checkpoint-odd-digit", "resume begun/half --checkpoint ²", check=refused)
plain("checkpoint-odd-step", "resume begun/half --checkpoint step_²", check=refused)
_pointer = written(f"{HALF}/checkpoints/latest.json", '{"folder": "step_٠٠٠٠٠٠٠٢", "step": 2}')
plain("pointer-odd-digit", RESUME_HALF, spoil=_pointer, changes=KEPT)
plain("folder-odd-digit", RESUME_HALF, spoil=written(f"{HALF}/checkpoints/step_²/state.json", "{}"), changes=KEPT)
for _name, _change in TOKENIZERS.items():
    plain(f"tokenizer-{_name}", f"{TRAIN} --tokenizer tokenizer.json", spoil=edited("tokenizer.json", _change))
plain("bpe-of-a-long-line", f"{TOKENIZER} --vocab-size 600 --output new.json", spoil=each(long_line(0), long_line(1)))
plain("fixed-seq", SUGGEST, spoil=graph(lambda made: setattr(dims(made)[1], "dim_value", 3)))
plain("fixed-batch", SUGGEST, spoil=graph(lambda made: setattr(dims(made)[0], "dim_value", 1)))
plain("undecodable-output", AGAINST_RANDOM, spoil=undecodable_output, check=refused)
for _words in (
    *("replay show replay.db", "replay stats replay.db", "replay check replay.db", PLAYED),
    "actor --db replay.db --episodes 1 --lanes 1 --simulations 2 --max-wait 0.2",
):
    plain(
        f"blob-env-id-{'-'.join(_words.split()[:2])}",
        _words,
        spoil=asked("replay.db", "UPDATE transitions SET env_id = x'ff00' WHERE rowid = 1"),
        changes=("replay.db*", "stats.json", "models/*"),
        findings=True,
    )

# What opened doors.
plain("files-outside", SUGGEST, spoil=outside, check=refused)
plain("watched-repository", TRAIN, spoil=watched_repository, check=_nothing_ran)
for _number, _db in enumerate(
    (
        f"host=127.0.0.1 port=1 password={SECRET}",
        f"postgresql://user:{SECRET}@127.0.0.1:1/x",
        f"postgresql://user:{SECRET}@[::1/x",
        f"postgres://127.0.0.1:1/x?password={SECRET}",
    )
):
    plain(f"password-{_number}", "replay check", _db)
    plain(f"password-train-{_number}", PLAYED, "--db", _db)
