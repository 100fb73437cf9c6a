"""`clew demo`: the main job, small and whole: generate theorems, train, export, prove, compare, draw."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pydantic

from clew.cli import flags
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE
from clew.core.files import write_json, write_text

HELD_OUT = {"held_out_new": "new theorems", "held_out_longer": "theorems with longer proofs"}


class DemoOptions(flags.Options):
    """Train a small GPT to write proof steps, export it, and prove theorems that it never saw, with and without it."""

    folder: flags.Positional[Path] = Path("demo")
    """Everything goes into a new folder in this one."""
    theorems: int = pydantic.Field(default=5000, ge=200)
    """Theorems to generate and learn from."""
    theories: tuple[str, ...] = ("ring", "commutative_ring", "boolean_algebra")
    """Theories of the theorems; these are the ones that blind search finds hardest."""
    recipe: str = "tactics-demo"
    """Recipe of the model."""
    steps: int = pydantic.Field(default=0, ge=0)
    """Training steps; 0: as the recipe says."""
    prove: int = pydantic.Field(default=25, ge=2)
    """Theorems to prove of each held-out set."""
    seconds: float = pydantic.Field(default=1.0, gt=0)
    """Seconds that a search has for each theorem."""
    proposals: int = pydantic.Field(default=300, ge=1)
    """Lines that a search may have judged for each theorem, in the trial at equal proposals."""
    seed: int = 0
    """The same seed generates the same theorems and trains the same model."""
    as_json: flags.Json = False
    """Print the figures as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run the demo."""
    options = flags.parse(DemoOptions, arguments, program="clew demo")
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    folder = options.folder / f"{datetime.now():%Y-%m-%d-%H-%M-%S}"
    corpus = folder / "proofs"
    say(f"generating {options.theorems:,} theorems with proofs -> {corpus}")
    from clew.proofs.corpus_maker import generate_corpus

    generate_corpus(corpus, theorems=options.theorems, seed=options.seed, theories=options.theories)

    say(f"training {options.recipe}")
    bundle = _train_and_export(options, folder, say)

    say("proving held-out theorems, by enumeration and with the model")
    reports = {name: _evaluate(bundle, corpus / name, options) for name in HELD_OUT}
    from clew.proofs.evaluation.plot import draw_guidance
    from clew.proofs.evaluation.report import markdown

    guidance = {HELD_OUT[name]: report.guidance for name, report in reports.items() if report.guidance}
    draw_guidance(guidance, folder / "guidance.png")
    for name, report in reports.items():
        write_text(folder / f"{name}.md", markdown(report))
        write_json(folder / f"{name}.json", report.as_json())
    figures = {name: _figures(report) for name, report in reports.items()}
    say("done")
    print(_table(figures, options))
    print(f"bundle: {bundle}\nplot:   {folder / 'guidance.png'}\nreports: {folder}/held_out_*.md")
    if options.as_json:
        print_json({"folder": str(folder), "seconds": round(time.monotonic() - began, 1), **figures})
    return EXIT_DONE


def _train_and_export(options: DemoOptions, folder: Path, say: Callable[[str], None]) -> Path:
    from clew import recipes
    from clew.export.publish import default_folder, publish_onnx
    from clew.export.source import find_source
    from clew.training import launch

    recipe: Any = recipes.load(options.recipe)
    data = recipe.data.model_copy(update={"data_dir": str(folder / "proofs" / "train")})
    plan = recipe.training.model_copy(update={"max_steps": options.steps or recipe.training.max_steps})
    recipe = recipe.model_copy(update={"seed": options.seed, "data": data, "training": plan})
    run, _ = launch.train(recipe, folder / "runs", say=say)
    say("exporting and comparing the bundle with torch")
    bundle = default_folder(recipe.name, folder / "export")
    ways = publish_onnx(find_source(str(run.folder)), bundle)["parity"]["ways"]
    worst = max(way["max_abs_logits_difference"] for way in ways.values())
    say(f"verified: {len(ways)} ways of starting the cache, logits within {worst:.1e}, 256 greedy tokens equal")
    return bundle


def _evaluate(folder: Path, data_dir: Path, options: DemoOptions) -> Any:
    from clew.bundle.load import load_bundle
    from clew.bundle.sampling import Sampling
    from clew.proofs.evaluation.guidance import Budget
    from clew.proofs.evaluation.report import choose_files, evaluate_proofs

    bundle = load_bundle(folder)
    return evaluate_proofs(
        bundle,
        choose_files(bundle, data_dir, "all"),
        Sampling(temperature=0.6, max_tokens=64, seed=options.seed),
        Budget(options.proposals, options.seconds),
        limit=options.prove,
        stage=lambda name, length: lambda: None,
    )


def _figures(report: Any) -> dict[str, Any]:
    guidance = report.guidance
    seconds, proposals = guidance.equal_seconds, guidance.equal_proposals
    return {
        "bits_per_byte": report.bits_per_byte.value,
        "theorems": guidance.theorems,
        "proved_without_model": seconds["enumeration"].successes,
        "proved_with_model": seconds["model"].successes,
        "proved_without_model_equal_proposals": proposals["enumeration"].successes,
        "proved_with_model_equal_proposals": proposals["model"].successes,
        "proved_by_both": guidance.gain.cases if guidance.gain else 0,
        "guidance_gain": guidance.gain.geometric_mean if guidance.gain else None,
    }


def _table(figures: dict[str, dict[str, Any]], options: DemoOptions) -> str:
    def times(each: dict[str, Any]) -> str:
        return f"{each['proved_with_model'] / max(1, each['proved_without_model']):.1f}"

    rows = [
        ("bits per byte", "bits_per_byte", "{:.3f}"),
        ("theorems tried", "theorems", "{}"),
        (f"proved in {options.seconds:g} s each, without the model", "proved_without_model", "{}"),
        (f"proved in {options.seconds:g} s each, with the model", "proved_with_model", "{}"),
        (f"proved in {options.proposals} proposals, without", "proved_without_model_equal_proposals", "{}"),
        (f"proved in {options.proposals} proposals, with", "proved_with_model_equal_proposals", "{}"),
        ("theorems that both prove", "proved_by_both", "{}"),
        ("guidance gain: their proposals, without/with", "guidance_gain", "{:.1f}"),
    ]
    lines = [f"{'':<44}" + "".join(f"{HELD_OUT[name]:>30}" for name in figures)]
    for title, key, form in rows:
        cells = ("-" if each[key] is None else form.format(each[key]) for each in figures.values())
        lines.append(f"{title:<44}" + "".join(f"{cell:>30}" for cell in cells))
    lines.insert(
        5, f"{'times as many with the model':<44}" + "".join(f"{times(each):>30}" for each in figures.values())
    )
    return "\n".join(lines)
