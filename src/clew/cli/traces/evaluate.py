"""`clew evaluate traces`: what a chat model answers to the questions of an eval set, judged."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pydantic

from clew.cli.flags import Json, Options, parse
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE
from clew.core.progress import stage


class EvaluateTracesOptions(Options):
    """Ask a chat model each question of an eval set, through the template of its training, and judge the answers."""

    model: str = "base"
    """base (what training begins with by default); a run, a checkpoint or a bundle; a Hugging Face folder or id."""
    eval_set: Path
    """File of questions, {id, prompt, expected_answer} as JSON, one a line."""
    output: Path
    """File for the rows, one JSON object a line; what they were made with goes beside it, into *.meta.json."""
    seed: int = 42
    """Of what is drawn: answers where the temperature is not 0, and the questions that --max-examples leaves."""
    max_examples: int = pydantic.Field(default=0, ge=0)
    """Ask only this many of the questions, drawn by the seed; 0: all."""
    judge: str = "answer"
    """What scores an answer: answer (what stands after Answer:), exact, numeric, numeric:TOLERANCE, choice, checker,
    steps, an installed one, or module:function."""
    temperature: float = 0.0
    """0 takes the likeliest token; else logits are divided by this and a token is drawn."""
    top_p: float = 1.0
    """Draw from only the likeliest tokens whose probabilities together reach this; 1: from all."""
    top_k: int = 0
    """Draw from only this many likeliest tokens; 0: from all."""
    max_tokens: int = pydantic.Field(default=0, ge=0)
    """Tokens after which an answer is cut; 0: what the longest prompt leaves of the model's context, at most 256."""
    batch_size: int = pydantic.Field(default=64, ge=1)
    """Questions answered at once."""
    threads: int = pydantic.Field(default=0, ge=0, le=1024)
    """CPU threads of the model; 0: all cores."""
    db: str | None = None
    """Database of traces whose leaderboard gets the result as well: a path, sqlite:///PATH or postgresql://..."""
    as_json: Json = False
    """Print the figures as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew evaluate traces`."""
    options = parse(EvaluateTracesOptions, arguments, program="clew evaluate traces")

    from clew.bundle.sampling import Sampling
    from clew.traces.evalset import read_evalset
    from clew.traces.evaluation import choose, described, evaluate, room
    from clew.traces.evaluation_rows import check_evaluation_output, write_evaluation
    from clew.traces.judges import find_judge

    check_evaluation_output(options.output)
    judge = find_judge(options.judge)
    eval_set = read_evalset(options.eval_set)
    questions = choose(eval_set, options.max_examples, options.seed)

    from clew.export.chat_models import open_chat_model

    model = open_chat_model(options.model, batch_size=options.batch_size, threads=options.threads)
    sampling = Sampling(
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        max_tokens=options.max_tokens or room(model, questions),
        seed=options.seed,
    )
    with contextlib.ExitStack() as bars:
        rows = evaluate(model, questions, sampling, judge, tick=stage(bars, "questions", len(questions)))
    written = write_evaluation(options.output, rows, described(model), sampling, eval_set)
    if options.db is not None:
        from clew.traces.regression import record
        from clew.traces.store import TraceStore

        with TraceStore.open(options.db) as store:
            record(store, written)
    found = written.figures
    print(
        f"{model.name}: average score {found.mean_score:.4f} (95% {found.low:.4f} to {found.high:.4f}) on "
        f"{found.examples} questions, judged by {judge.name}; {found.unfinished} answers cut short; "
        f"{found.tokens} tokens in {found.seconds:.1f} s. Rows: {options.output}",
        file=sys.stderr if options.as_json else sys.stdout,
    )
    if options.as_json:
        print_json({**dict(written.meta), "rows": str(options.output)})
    return EXIT_DONE
