"""What a guide of the program search is worth: its heads on tasks held out, and how much shorter the search gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pydantic
from numpy.typing import NDArray

from clew.bundle.guide import GuideModel, Scores
from clew.core import files
from clew.core.errors import BundleError, UsageError
from clew.core.intervals import Ratio, Share
from clew.core.randomness import generator
from clew.programs import features
from clew.programs.grammar import FULL, GRAMMARS, Grammar
from clew.programs.heads import Figure, Frequencies, figures_with_intervals
from clew.programs.rows import Rows
from clew.programs.syntax import size
from clew.recipes.base import Section, validate
from clew.recipes.imitation import ImitationRecipe

if TYPE_CHECKING:
    from clew.programs.evidence import PreparedDemonstrations
    from clew.programs.task import Task

Stage = Callable[[str, int], Callable[[], None]]
"""Told the name and length of a stage, it gives what is called after each unit of it."""
_CHUNK = 4096
_REPORT_FILES = {
    "report.json": files.json_output("a report of clew evaluate programs", "bundle", "which", "heads"),
    "report.md": files.Output(
        "a report of clew evaluate programs", lambda file: b"| policy accuracy |" in file.read(2**20)
    ),
}
_TITLES = {
    "policy_accuracy": "policy accuracy",
    "policy_accuracy_task_alone": "policy accuracy, by the task alone",
    "policy_top5": "policy, among the first five",
    "majority_accuracy": "the commonest action",
    "context_majority_accuracy": "the commonest action in the same context",
    "chance_accuracy": "chance",
    "guard_auc": "guard, area under the curve",
    "guard_share": "share that fails",
    "value_explained_variance": "value, explained variance",
    "value_auc": "value, area under the curve",
    "value_share": "share that is solved",
    "latency_explained_variance": "latency, explained variance",
}
_SHARES = ("accuracy", "top5", "share")


def _quiet(name: str, length: int) -> Callable[[], None]:
    return lambda: None


class ProgramsEvaluation(Section):
    """Measure a guide on tasks that it was not trained on."""

    tasks: str | None = None
    """Held-out tasks to search with and without the guide: a file of `clew programs demonstrate`, a .dsl file, a folder
    of such files, or "shipped". Without it the heads alone are measured."""
    at_most: int = pydantic.Field(default=0, ge=0)
    """Search so many of the tasks, drawn by the seed; 0: all."""
    search: Literal["grammar", "best-first", "beam"] = "grammar"
    """How the guide leads. grammar: bottom-up in the order of its probabilities. best-first, beam: over partial
    programs, each judged by the guide."""
    seconds: float = pydantic.Field(default=2.0, gt=0)
    """Seconds that either search may take for each task, on one core."""
    nodes: int = pydantic.Field(default=100_000_000, ge=1)
    """Candidates or states that either search may look at for each task."""

    data: str | None = None
    """Demonstrations to measure the heads on; by default those that the bundle was trained on, of which the held-out
    part is taken. Of others, all are."""
    limit: int = pydantic.Field(default=100_000, ge=1)
    """Measure the heads on at most so many states, drawn by the seed."""
    seed: int = 0
    """Of what is drawn."""
    threads: int = pydantic.Field(default=1, ge=0)
    """CPU threads of the model; 0: all cores."""


@dataclass(frozen=True)
class GainFigures:
    """The same tasks with the guide and without it, under the same budget; the baseline enumerates by size."""

    tasks: int
    search: str
    seconds: float
    nodes: int
    solved_both: int
    nodes_ratio: Ratio | None
    """Nodes without the guide over nodes with it, on tasks that both solve; None where there is none."""
    seconds_ratio: Ratio | None
    """The same of seconds; those with the guide hold what it takes to ask it."""
    solved_without: Share
    solved_with: Share
    solved_difference: float
    """Share solved with the guide less the share solved without."""
    solved_difference_interval: tuple[float, float]
    gained: int
    lost: int
    p_value: float
    """Of `gained` tasks against `lost` ones, McNemar's exact test."""


@dataclass(frozen=True)
class ProgramsReport:
    """What a guide is worth."""

    bundle: str
    grammar: str
    which: str
    """Which states the heads were measured on, and why."""
    states: int
    tasks: int
    seed: int
    heads: Mapping[str, Figure]
    """Figures of `clew.programs.heads` by name, and `policy_accuracy_task_alone`."""
    gain: GainFigures | None = None
    """What guidance is worth to the search; None where no tasks were named."""
    gain_longer: GainFigures | None = None
    """The same for tasks whose program is longer than any that was trained on; None where there are none."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def _repr_markdown_(self) -> str:
        """The page that a notebook shows."""
        return markdown(self)


def evaluate(bundle: GuideModel | Path | str, *, stage: Stage = _quiet, **settings: Any) -> ProgramsReport:
    """Evaluate a guide, loaded or by its folder, as the fields of `ProgramsEvaluation` in `settings` say.

    Raises `BundleError` for what is no guide of programs, `UsageError` and `EvidenceError` for what it cannot be
    measured on.
    """
    return evaluate_programs(bundle, validate(ProgramsEvaluation, settings, "clew.evaluate"), stage=stage)


def evaluate_programs(
    bundle: GuideModel | Path | str, wanted: ProgramsEvaluation, *, stage: Stage = _quiet
) -> ProgramsReport:
    """`evaluate`, with its settings as a whole."""
    model = bundle if isinstance(bundle, GuideModel) else GuideModel(bundle, threads=wanted.threads)
    grammar = grammar_of(model)
    prepared, rows, which = _chosen(model, grammar, wanted.data)
    chosen = np.arange(len(rows))
    if len(chosen) > wanted.limit:
        chosen = np.sort(generator(wanted.seed, "evaluated states").permutation(len(rows))[: wanted.limit])
    frequencies = Frequencies.of(
        prepared.train.actions, prepared.train.contexts, (len(grammar.contexts), grammar.actions)
    )
    longest = max(len(each.actions) for each in prepared.training)
    gains = _gains(model, grammar, wanted, longest, stage=stage) if wanted.tasks is not None else (None, None)
    return ProgramsReport(
        bundle=str(model.path),
        grammar=grammar.name,
        which=which,
        states=len(chosen),
        tasks=len(np.unique(rows.tasks[chosen])),
        seed=wanted.seed,
        heads=head_figures(model, rows, chosen, frequencies, seed=wanted.seed, stage=stage),
        gain=gains[0],
        gain_longer=gains[1],
    )


def _gains(
    model: GuideModel, grammar: Grammar, wanted: ProgramsEvaluation, longest: int, *, stage: Stage
) -> tuple[GainFigures | None, GainFigures | None]:
    """On tasks whose programs are as long as those of training (or of unknown length), and on longer ones."""
    from clew.programs.guidance import BundleGuide
    from clew.programs.search.gain import paired
    from clew.programs.search.guided import search
    from clew.programs.search.problem import Budget, of_task

    if grammar.name != FULL.name:
        raise UsageError(
            f"The search without a guide goes through the grammar '{FULL.name}', but {model.path} guides "
            f"'{grammar.name}': the two cannot be compared. Leave --tasks out, or name a guide of '{FULL.name}'."
        )
    tasks = tasks_named(str(wanted.tasks))
    if wanted.at_most and wanted.at_most < len(tasks):
        drawn = generator(wanted.seed, "evaluated tasks").permutation(len(tasks))[: wanted.at_most]
        tasks = [tasks[place] for place in sorted(drawn)]
    guide = BundleGuide(model.path, grammar, threads=wanted.threads)
    budget = Budget(wanted.nodes, wanted.seconds)
    tick = stage("search", len(tasks))
    outcomes = []
    for task in tasks:
        problem = of_task(task)
        # One after the other, so that a busy machine does harm to both.
        without = search(problem, how="enumerate", budget=budget)
        outcomes.append((without, search(problem, guide, how=wanted.search, budget=budget)))
        tick()
    longer = [task.reference is not None and size(task.reference) > longest for task in tasks]

    def figures(which: bool) -> GainFigures | None:
        chosen = [place for place, each in enumerate(longer) if each is which]
        if not chosen:
            return None
        found = paired(
            [tasks[place].name for place in chosen], *zip(*(outcomes[place] for place in chosen), strict=True)
        )
        return GainFigures(
            tasks=len(chosen),
            search=wanted.search,
            seconds=wanted.seconds,
            nodes=wanted.nodes,
            solved_both=found.both,
            nodes_ratio=found.nodes_ratio,
            seconds_ratio=found.seconds_ratio,
            solved_without=found.solved_baseline,
            solved_with=found.solved_guided,
            solved_difference=found.solved_difference,
            solved_difference_interval=(found.solved_difference_low, found.solved_difference_high),
            gained=found.gained,
            lost=found.lost,
            p_value=found.p_value,
        )

    return figures(False), figures(True)


def tasks_named(name: str) -> list[Task]:
    """The tasks of a file of demonstrations, of a .dsl file, of a folder of them, or "shipped".

    Raises `EvidenceError` or `ProgramError` with the place of the fault, `UsageError` for a folder without tasks.
    """
    from clew.programs.demonstrations import read
    from clew.programs.task import SUFFIX, load_task, shipped_tasks

    path = Path(name)
    if name == "shipped" and not files.exists(path):
        return list(shipped_tasks())
    if files.is_folder(path):
        found = [load_task(each) for each in sorted(path.rglob(f"*{SUFFIX}"))]
        if not found:
            raise UsageError(f"{path} holds no {SUFFIX} files, so there is no task to search for.")
        return found
    if name.endswith(SUFFIX):
        return [load_task(path)]
    return [each.task for each in read(path).items]


def grammar_of(model: GuideModel) -> Grammar:
    """The grammar whose actions the guide rates. Raises `BundleError` for a guide of something else."""
    told = model.about.get("actions")
    grammar = GRAMMARS.get(str(told.get("grammar"))) if isinstance(told, dict) else None
    if grammar is None:
        raise BundleError(
            f"{model.path} does not say which grammar of programs it guides ({', '.join(GRAMMARS)}): it was made for "
            "something else. `clew train guide` and `clew export` make one."
        )
    names = [str(production) for production in grammar.productions]
    what = f"the program search's grammar '{grammar.name}'"
    model.check_fits(what, input_dim=features.input_dim(grammar), actions=names)
    return grammar


def head_figures(
    model: GuideModel,
    rows: Rows,
    chosen: NDArray[np.int64],
    frequencies: Frequencies,
    *,
    seed: int = 0,
    stage: Stage = _quiet,
) -> dict[str, Figure]:
    """The figures of the heads on the `chosen` states of `rows`, each with its interval over tasks."""
    tick = stage("heads", 2 * -(-len(chosen) // _CHUNK))
    labels = rows.labels(chosen)
    middle = rows.task_features.shape[1]
    context_rows = features.context_rows(rows.grammar)

    def said(*, alone: bool) -> Scores:
        parts = []
        for start in range(0, len(chosen), _CHUNK):
            part = chosen[start : start + _CHUNK]
            shown = rows.features(part)
            if alone:
                shown[:, middle:] = context_rows[rows.contexts[part]]
            parts.append(model.evaluate(shown))
            tick()
        return Scores(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    found = figures_with_intervals(said(alone=False), labels, frequencies, seed=seed)
    by_task = figures_with_intervals(said(alone=True), labels, frequencies, seed=seed, only=("policy_accuracy",))
    return {**found, "policy_accuracy_task_alone": by_task["policy_accuracy"]}


def _chosen(model: GuideModel, grammar: Grammar, data: str | None) -> tuple[PreparedDemonstrations, Rows, str]:
    """The demonstrations, the states of them to measure on, and which those are."""
    from clew.programs.evidence import prepare

    manifest = model.manifest or {}
    told = manifest.get("recipe")
    imitates = isinstance(told, dict) and told.get("objective") == "imitation"
    if not imitates and data is None:
        raise UsageError(
            f"{model.path} does not say which demonstrations it was trained on. Name some to measure it on with --data."
        )
    recipe = ImitationRecipe()
    if isinstance(told, dict) and imitates:
        kept = {key: told[key] for key in ("seed", "data") if key in told}
        recipe = validate(ImitationRecipe, kept, f"the recipe in {model.path.parent}")
    place = recipe.data.path if data is None else data
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"path": place})})
    prepared = prepare(recipe)
    if prepared.grammar.name != grammar.name:
        raise UsageError(
            f"{place or 'The demonstrations'} are in the grammar '{prepared.grammar.name}', but {model.path} guides "
            f"'{grammar.name}'. Name demonstrations of that grammar."
        )
    evidence = manifest.get("evidence")
    if isinstance(evidence, dict) and evidence.get("sha256") == prepared.evidence.sha256:
        return prepared, prepared.held_out, "the states of tasks that the run held out, by what they compute"
    everything = replace(prepared, evaluation=prepared.training + prepared.evaluation)
    return prepared, everything.held_out, "all states: the guide was not trained on these demonstrations"


def check_report(folder: Path) -> None:
    """Raise `UsageError` unless a report may be written into `folder`: it replaces an earlier one and nothing else."""
    for name, kind in _REPORT_FILES.items():
        files.check_output(folder / name, kind)


def write_report(report: ProgramsReport, folder: Path) -> None:
    """Write report.json and report.md into `folder`, in place of an earlier report."""
    check_report(folder)
    files.write_json(folder / "report.json", report.as_json(), replaces=_REPORT_FILES["report.json"])
    files.write_text(folder / "report.md", markdown(report), replaces=_REPORT_FILES["report.md"])


def markdown(report: ProgramsReport) -> str:
    """The report as a page."""
    page = [
        f"# {report.bundle}: the heads of a guide, grammar {report.grammar}",
        "",
        f"Measured on {report.which}: {report.states:,} states of {report.tasks:,} tasks.",
        "",
        "| figure | value | 95% | states |",
        "| --- | --- | --- | --- |",
    ]
    for name, title in _TITLES.items():
        each = report.heads[name]
        share = name.endswith(_SHARES) or "accuracy" in name
        shown = [f"{value:.1%}" if share else f"{value:.3f}" for value in (each.value, each.low, each.high)]
        page.append(f"| {title} | {shown[0]} | {shown[1]} to {shown[2]} | {each.cases:,} |")
    for title, gain in (
        ("Guidance gain", report.gain),
        ("On programs longer than any in training", report.gain_longer),
    ):
        if gain is not None:
            page += ["", f"## {title}", "", *_gain_lines(gain)]
    return "\n".join(page) + "\n"


def _gain_lines(gain: GainFigures) -> list[str]:
    rows = [
        f"{gain.tasks:,} held-out tasks, each searched twice on one core: by size, and in the order of the guide "
        f"({gain.search}). Budget of each search: {gain.seconds:g} s, {gain.nodes:,} nodes.",
        "",
        "| solved | by size | with the guide |",
        "| --- | --- | --- |",
        f"| share of the tasks | {_of(gain.solved_without)} | {_of(gain.solved_with)} |",
        "",
        f"Difference: {gain.solved_difference:+.1%} (95% {gain.solved_difference_interval[0]:+.1%} to "
        f"{gain.solved_difference_interval[1]:+.1%}): {gain.gained} gained, {gain.lost} lost, p = {gain.p_value:.2g}.",
    ]
    if gain.nodes_ratio is None or gain.seconds_ratio is None:
        return [*rows, "", "No task was solved by both, so nodes cannot be compared."]
    nodes, seconds = gain.nodes_ratio, gain.seconds_ratio
    return [
        *rows,
        "",
        f"Nodes by size over nodes with the guide, geometric mean on the {nodes.cases:,} tasks that both solve: "
        f"**{nodes.geometric_mean:.2f}** (95% {nodes.geometric_mean_low:.2f} to {nodes.geometric_mean_high:.2f}); "
        f"ratio of the means {nodes.ratio_of_means:.2f}. The same of seconds: {seconds.geometric_mean:.2f} "
        f"({seconds.geometric_mean_low:.2f} to {seconds.geometric_mean_high:.2f}).",
    ]


def _of(each: Share) -> str:
    return f"{each.value:.1%} ({each.low:.1%} to {each.high:.1%}), {each.successes} of {each.cases}"
