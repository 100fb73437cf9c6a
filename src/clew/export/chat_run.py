"""What happens around a fine-tuning: questions answered before it, the model's export, questions after, the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clew.bundle.chat import TEMPLATE_FILE
from clew.bundle.sampling import Sampling
from clew.core import files
from clew.core.named import named
from clew.export.chat import FINAL, export_chat
from clew.export.chat_models import open_chat_model
from clew.export.source import Source, find_source
from clew.recipes.chat import ChatRecipe
from clew.runs.folder import Run
from clew.traces.evalset import read_evalset
from clew.traces.evaluation import choose, described, evaluate, room
from clew.traces.evaluation_rows import Evaluation, read_evaluation, write_evaluation
from clew.traces.named_models import OURS
from clew.traces.report import compare, write_report

BEFORE, AFTER, REPORT = "eval_before.jsonl", "eval_after.jsonl", "delta_report.md"
FOREIGN_FORMAT = "clew.export.pretrained:final_format"
"""`final_format(source, merge) -> format` in which a model of another library is written at the end."""
Say = Callable[[str], None]


def _final_format(source: Source, recipe: ChatRecipe) -> str:
    """How the trained model is written: a bundle where it is ours, a Hugging Face folder else, adapters as asked."""
    if source.family == OURS:
        return "onnx"
    chosen: str = named(FOREIGN_FORMAT)(source, merge=recipe.lora.merge)
    return chosen


def begin(run: Run, recipe: ChatRecipe, say: Say) -> None:
    """Before the first step: the questions of the recipe's eval set, answered by what training begins with."""
    if recipe.data.eval_set and not files.is_file(run.folder / BEFORE):
        name = str(run.manifest.get("parent") or recipe.model.base_model)
        asked = recipe.model
        foreign = {"add_tokens": asked.add_tokens, "revision": asked.revision, "seed": recipe.seed}
        _evaluate(name, run, recipe, run.folder / BEFORE, say, foreign=foreign)


def finish(run: Run, recipe: ChatRecipe, say: Say) -> None:
    """After the last step: the export of the newest weights; where there are questions, their answers and a report."""
    final = run.folder / FINAL
    if not files.is_folder(final):
        source = find_source(str(run.folder), which="latest")
        export_chat(source, final, _final_format(source, recipe))
        say(f"model {final}")
    report = run.folder / REPORT
    if recipe.data.eval_set and not files.is_file(report):
        before, after = read_evaluation(run.folder / BEFORE), run.folder / AFTER
        if not files.is_file(after):
            _evaluate(str(final), run, recipe, after, say, before)
        write_report(compare(before, read_evaluation(after), seed=recipe.seed), report)
        say(f"report {report}")


def _evaluate(
    name: str,
    run: Run,
    recipe: ChatRecipe,
    output: Path,
    say: Say,
    before: Evaluation | None = None,
    foreign: Mapping[str, Any] | None = None,
) -> None:
    """Ask a model the questions as it is trained to be asked: with the run's template and system text.

    `before`: an evaluation whose answers had so many tokens that these get no more.
    """
    eval_set = read_evalset(Path(recipe.data.eval_set))
    questions = choose(eval_set, recipe.data.eval_examples, recipe.seed)
    template = str(run.folder / TEMPLATE_FILE)
    threads = recipe.training.threads
    model = open_chat_model(name, template=template, system=recipe.system_instruction, threads=threads, foreign=foreign)
    most = room(model, questions)
    if before is not None:
        most = min(most, int(before.meta["sampling"]["max_tokens"]))
    sampling = Sampling(temperature=0.0, max_tokens=most, seed=recipe.seed)
    rows = evaluate(model, questions, sampling, recipe.data.judge)
    found = write_evaluation(output, rows, described(model), sampling, eval_set).figures
    say(
        f"{name}: average score {found.mean_score:.4f} (95% {found.low:.4f} to {found.high:.4f}) on "
        f"{found.examples:,} questions, {found.seconds:.1f} s"
    )
