"""The best-known faults of earlier campaigns, each as a case of its own that runs in every campaign."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kinds import KEPT, seal_bundle
from sandbox import SECRET, Case, Outcome

NAMED: dict[str, Callable[[Path], Case]] = {}
HALF = "begun/half"
RESUME_HALF = f"resume {HALF}"
TRAIN = "train recipe.yaml --runs-dir new"
PLAYED = "train games.yaml --runs-dir new"
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


def plain(name: str, words: str, *more: str, check: Check | None = None, spoil: Callable[[Path], object] | None = None,
          stdin: bytes | None = b"", changes: tuple[str, ...] = ("models/*.onnx", "stats.json"), findings: bool = False) -> None:  # fmt: skip
    """Add the case `name`: the command `words`, then the arguments `more`, after `spoil` changed the files."""

    def make(folder: Path) -> Case:
        done = () if spoil is None else (name,)
        if spoil is not None:
            spoil(folder)
        argv = [*words.split(), *more]
        return Case(folder, argv, stdin=stdin, changes=changes, findings=findings, done=done, check=check)

    NAMED[name] = make


def written(name: str, content: str | bytes) -> Callable[[Path], object]:
    """Write `content` into the file `name`."""
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(raw)


def replaced(name: str, old: str, new: str) -> Callable[[Path], object]:
    """Write `new` for the first `old` in the file `name`."""

    def spoil(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text, (name, old)
        (folder / name).write_text(text.replace(old, new, 1))

    return spoil


def edited(name: str, change: Callable[[Any], object]) -> Callable[[Path], object]:
    """Let `change` work on the JSON document in the file `name`."""

    def spoil(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        change(document)
        (folder / name).write_text(json.dumps(document))

    return spoil


def asked(name: str, *statements: str) -> Callable[[Path], object]:
    """Run SQL in the database `name`."""

    def spoil(folder: Path) -> None:
        connection = sqlite3.connect(folder / name)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return spoil


def gone(name: str) -> Callable[[Path], object]:
    """Remove the file `name`."""
    return lambda folder: (folder / name).unlink()


# What was lost.
plain("pointer-gone", RESUME_HALF, spoil=gone(f"{HALF}/checkpoints/latest.json"), changes=KEPT, check=never_saying("starts anew"))
plain("both-pointers-gone", RESUME_HALF, changes=KEPT, check=never_saying("starts anew"),
      spoil=lambda folder: [gone(f"{HALF}/checkpoints/{name}.json")(folder) for name in ("latest", "best")])  # fmt: skip
plain("back-with-damaged-metrics", "resume runs/small --checkpoint 2", spoil=replaced("runs/small/metrics.jsonl", "{", "{{"), changes=("*/run_manifest.json",))
plain("statistics-onto-the-database", f"{PLAYED} --stats replay.db")
plain("database-and-statistics-one-new-file", f"{PLAYED} --db replay.db --stats ./corpus/../replay.db")
plain("plot-onto-notes", "runs compare runs/small begun/half --plot notes.txt", check=refused)
plain("plot-onto-a-database", "runs compare runs/small begun/half --plot replay.db", check=refused)
plain("tokenizer-onto-notes", "tokenizer train --data-dir corpus --validation-fraction 0.3 --vocab-size 260 --output notes.txt", check=refused)
plain("report-onto-a-foreign-report", "evaluate games --model nets/model_step_000001.onnx --games 2 --output mine",
      spoil=lambda folder: [(folder / "mine").mkdir(), written("mine/report.json", "[1, 2]\n")(folder)])  # fmt: skip

# What succeeded and should not have.
def _no_numbers(folder: Path) -> None:
    import onnx
    from onnx import numpy_helper

    path = folder / "bundle/model.onnx"
    model = onnx.load_from_string(path.read_bytes())
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight).copy()
        if values.dtype.kind == "f" and values.ndim == 2:
            values[...] = float("nan")
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    path.write_bytes(model.SerializeToString())
    seal_bundle(folder)


plain("bundle-of-nan", "suggest bundle --prompt prompt.txt -k 2 --max-tokens 4", spoil=_no_numbers, check=refused)
plain("sexagesimal", PLAYED, spoil=replaced("games.yaml", "max_wait: 0.3", "max_wait: 1:30:00"), check=refused)
plain("on-as-one", TRAIN, spoil=replaced("recipe.yaml", "seed: 42", "seed: on"), check=refused)
plain("octal", TRAIN, spoil=replaced("recipe.yaml", "max_steps: 4", "max_steps: 010"), check=lambda case, outcome: None if outcome.code or "10 steps planned" in outcome.err else "010 is taken as 8")
plain("markup-in-a-value", "runs compare runs/small begun/half --plot out.png", check=saying("[red]here"),
      spoil=replaced(f"{HALF}/recipe.yaml", "data_dir: corpus", 'data_dir: "[red]here"'))  # fmt: skip
plain("all-rows-broken", PLAYED, spoil=asked("replay.db", "UPDATE transitions SET policy_probs = x'0000c07f'"), check=never_saying("high <= 0"))
plain("players-without-end", "replay check actor.db", findings=True, check=refused,
      spoil=asked("actor.db", "UPDATE game_metadata SET player_count = 4611686018427387904, board_width = 2"))  # fmt: skip

# What ended in a traceback.
for number, scalar in enumerate(("2001-99-99", "0b", "0o9", "!!int x", "!!float x", "!!timestamp x", "=", "<<", '"\\U00110000"', "2001-01-01T00:00:00+99:99", "9" * 5000, "[" * 3000, "{" * 3000, "!!binary é")):
    plain(f"yaml-scalar-{number}", TRAIN, spoil=replaced("recipe.yaml", "max_steps: 4", f"max_steps: {scalar}"), check=refused)


def _aliases(folder: Path) -> None:
    rows = ["a0: &a0 [xxxxxxxxx, xxxxxxxxx]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 25)), "name: *a24"]
    (folder / "recipe.yaml").write_text("objective: next_token\n" + "\n".join(rows) + "\n")


plain("yaml-aliases", TRAIN, spoil=_aliases, check=refused)
for flag, value in (("learning-rate", "inf"), ("learning-rate", "1e400"), ("learning-rate", "nan"), ("max-epochs", "inf"), ("batch-size", str(2**64)), ("context-length", str(2**63)),
                    ("d-mlp", str(2**70)), ("max-steps", str(2**63)), ("weight-decay", "inf"), ("clip", "nan"), ("seed", str(2**70)), ("vocab-size", "9" * 5000)):  # fmt: skip
    plain(f"train-{flag}-{value[:8]}", f"{TRAIN} --{flag} {value}" + (" --max-steps 0" if flag == "max-epochs" else ""),
          check=None if flag == "seed" else refused)  # fmt: skip
plain("betas", f"{TRAIN} --betas 1 2", check=refused)
plain("betas-nan", f"{TRAIN} --betas nan 0.9", check=refused)
plain("wait-without-end", f"{PLAYED} --batch-size 4096 --max-wait inf", check=refused)
plain("pause-without-end", f"{PLAYED} --wait-interval inf --max-wait inf --env-id connect4", check=refused)
plain("window-past-64-bits", f"{PLAYED} --replay-window {2**64}", check=refused)
for words in ("runs list --runs-dir", "doctor --runs-dir", "proofs stats", "suggest bundle --prompt", "replay check", "evaluate games --model", "play tictactoe --model", "train", "resume", "export", "actor --episodes 1 --db", "tournament --model-dir"):
    for what, path in (("long", "a" * 300), ("undecodable", "\udcff\udcfe"), ("through-a-file", "notes.txt/x")):
        plain(f"path-{what}-{words.replace(' --', '-').replace(' ', '-')}", words, path)
plain("runs-dir-undecodable", "train recipe.yaml --runs-dir", "\udcff")
plain("file-undecodable", TRAIN, spoil=lambda folder: shutil.copy(folder / "corpus/proof_00000.txt", str(folder / "corpus") + "/proof_\udcff.txt"))
plain("suggest-closed-input", "suggest bundle --prompt -", stdin=None, check=refused)
plain("play-closed-input", "play tictactoe --model nets/model_step_000001.onnx --simulations 2", stdin=None)
for number, line in enumerate(("null", "{}", '{"step": null, "loss": 1}', '{"step": 1, "loss": NaN}', '{"loss": 1}', '{"step": 1}', "1", "[1]", '{"step": 1, "evaluation": null}', '{"step": 1, "evaluation": {}, "improved": true}', '{"step": 2, "evaluation": {"x": null}, "improved": true}')):
    for words in ("runs show runs/small", "runs list --runs-dir runs", "runs compare runs/small begun/half --plot out.png", "resume runs/small --checkpoint 2"):
        plain(f"metrics-{number}-{words.split()[1 if words.startswith('runs') else 0]}", words, spoil=written("runs/small/metrics.jsonl", (line + "\n") * 12),
              changes=("*/run_manifest.json", "*/metrics.jsonl", "*/stats.json", "*/timing.jsonl"))  # fmt: skip
for words in ("runs list", "runs show small", "runs show", "export small out", "resume small"):
    short = words.replace(" ", "-")
    plain(f"no-created-at-{short}", f"{words} --runs-dir runs", spoil=edited("runs/small/run_manifest.json", lambda value: value.pop("created_at")), changes=KEPT)
    plain(f"deep-manifest-{short}", f"{words} --runs-dir runs", spoil=written("runs/small/run_manifest.json", "[" * 100_000), changes=KEPT)
    plain(f"long-digits-{short}", f"{words} --runs-dir runs", spoil=replaced("runs/small/run_manifest.json", '"seed": 42', '"seed": ' + "4" * 5000), changes=KEPT)
for words in ("runs list", "runs show small", "export small out"):
    plain(f"one-bad-run-{words.split()[1]}", f"{words} --runs-dir runs", changes=KEPT, check=lambda case, outcome: "one bad run blocks the others" if outcome.code else saying("small")(case, outcome),
          spoil=lambda folder: [(folder / "runs/bad").mkdir(), written("runs/bad/run_manifest.json", "{")(folder)])  # fmt: skip
plain("checkpoint-odd-digit", "resume begun/half --checkpoint ²", check=refused)
plain("checkpoint-odd-step", "resume begun/half --checkpoint step_²", check=refused)
plain("pointer-odd-digit", RESUME_HALF, spoil=written(f"{HALF}/checkpoints/latest.json", '{"folder": "step_٠٠٠٠٠٠٠٢", "step": 2}'), changes=KEPT)
plain("folder-odd-digit", RESUME_HALF, spoil=lambda folder: (folder / HALF / "checkpoints/step_²").mkdir(), changes=KEPT)


def _other_tokenizer(change: Callable[[Any], object]) -> Callable[[Path], object]:
    return edited("tokenizer.json", change)


for name, change in {
    "truncation": lambda value: value.update(truncation={"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}),
    "huge-stride": lambda value: value.update(truncation={"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 9}),
    "padding": lambda value: value.update(padding={"strategy": {"Fixed": 2**62}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}),
    "padding-of-nothing": lambda value: value.update(padding={"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": 0, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}),
    "far-token": lambda value: value["model"]["vocab"].update(far=2**31),
    "no-vocabulary": lambda value: value["model"].update(vocab={}, merges=[]),
    "empty-pattern": lambda value: value.update(normalizer={"type": "Replace", "pattern": {"Regex": "(a*)*$"}, "content": "b" * 999}),
    "split": lambda value: value.update(pre_tokenizer={"type": "Split", "pattern": {"Regex": "(?<=x"}, "behavior": "Isolated", "invert": False}),
    "strip": lambda value: value.update(added_tokens=[{"id": 0, "content": " ", "single_word": False, "lstrip": True, "rstrip": True, "normalized": False, "special": True}]),
    "unigram": lambda value: value.update(model={"type": "Unigram", "unk_id": 99, "vocab": [["a", 0.0]]}),
    "word-piece": lambda value: value.update(model={"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "##", "max_input_chars_per_word": 0, "vocab": {"a": 0}}),
}.items():  # fmt: skip
    plain(f"tokenizer-{name}", f"{TRAIN} --tokenizer tokenizer.json", spoil=_other_tokenizer(change))
plain("bpe-of-a-long-line", "tokenizer train --data-dir corpus --output new.json --vocab-size 600 --validation-fraction 0.3",
      spoil=lambda folder: [written(f"corpus/proof_{number:05d}.txt", "@T\ntheorem t(a: T) {\n@G\n" + "".join(random.Random(number).choices("abcdef(),= ", k=320_000)) + "\n@C\nx\n@P\n")(folder) for number in (0, 1)])  # fmt: skip


def _graph(change: Callable[[Any], object]) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        import onnx

        path = folder / "bundle/model.onnx"
        model = onnx.load_from_string(path.read_bytes())
        change(model.graph)
        path.write_bytes(model.SerializeToString())
        seal_bundle(folder)

    return spoil


def _undecodable_output(folder: Path) -> None:
    path = folder / "nets/model_step_000001.onnx"
    path.write_bytes(path.read_bytes().replace(b"policy_logits", b"policy_logit\xff"))


plain("fixed-seq", "suggest bundle --prompt prompt.txt -k 2 --max-tokens 4", spoil=_graph(lambda graph: setattr(graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 3)))
plain("fixed-batch", "suggest bundle --prompt prompt.txt -k 2 --max-tokens 4", spoil=_graph(lambda graph: setattr(graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 1)))
plain("undecodable-output", "evaluate games --model nets/model_step_000001.onnx --games 2", spoil=_undecodable_output)
for words in ("replay show replay.db", "replay stats replay.db", "replay check replay.db", PLAYED, "actor --db replay.db --episodes 1 --lanes 1 --simulations 2 --max-wait 0.2"):
    plain(f"blob-env-id-{words.split()[0]}-{words.split()[1].strip('-')}", words, spoil=asked("replay.db", "UPDATE transitions SET env_id = x'ff00' WHERE rowid = 1"), findings=True,
          changes=("replay.db*", "stats.json", "models/*"))  # fmt: skip

# What opened doors.
def _outside(folder: Path) -> None:
    (folder.parent / "secret.txt").write_text("secret")
    edited("bundle/bundle.json", lambda value: value["files"].update({"../../secret.txt": "0" * 64}))(folder)
    seal_bundle(folder)


def _watched_repository(folder: Path) -> None:
    hook = folder / "hook"
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    for words in ("init -q", "add notes.txt", "-c user.name=a -c user.email=b commit -q -m c", "config core.fsmonitor ./hook"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True, capture_output=True)


plain("files-outside", "suggest bundle --prompt prompt.txt -k 1 --max-tokens 2", spoil=_outside, check=refused)
plain("watched-repository", TRAIN, spoil=_watched_repository, check=lambda case, outcome: "the repository's program was run" if (case.folder / "ran").exists() else None)
for number, db in enumerate((f"host=127.0.0.1 port=1 password={SECRET}", f"postgresql://user:{SECRET}@127.0.0.1:1/x", f"postgresql://user:{SECRET}@[::1/x", f"postgres://127.0.0.1:1/x?password={SECRET}")):
    plain(f"password-{number}", "replay check", db)
    plain(f"password-train-{number}", PLAYED, "--db", db)
