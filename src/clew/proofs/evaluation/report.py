"""A whole evaluation of a proof bundle, and the same as a page to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from clew.bundle.load import Bundle, load_bundle
from clew.bundle.sampling import Sampling
from clew.core import files
from clew.core.errors import UsageError
from clew.core.intervals import Share
from clew.core.randomness import generator
from clew.proofs.corpus import Corpus, read_corpus, split_by_theorem
from clew.proofs.evaluation.guidance import Budget, Guidance, compare
from clew.proofs.evaluation.held_out import BitsPerByte, NextLines, bits_per_byte, next_lines
from clew.proofs.theorems import StatementError, Theorem, read_theorem

Stage = Callable[[str, int], Callable[[], None]]
"""Told the name and length of a stage, it gives what is called after each unit of it."""


_REPORT_FILES = {
    "report.json": files.json_output("a report of clew evaluate proofs", "bundle", "data_dir", "bits_per_byte"),
    "report.md": files.Output(
        "a report of clew evaluate proofs", lambda file: b"| bits per byte |" in file.read(2**20)
    ),
}


def _quiet(name: str, length: int) -> Callable[[], None]:
    return lambda: None


@dataclass(frozen=True)
class ProofReport:
    """What a bundle is worth on a folder of proof files."""

    bundle: str
    data_dir: str
    which: str
    """Which files were evaluated, and why."""
    leakage: list[str]
    files: int
    limited_from: int
    """How many files there were before a limit drew some of them."""
    seed: int
    bits_per_byte: BitsPerByte
    next_lines: NextLines
    guidance: Guidance | None
    """None where the files do not state theorems of Clew's own theories."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def _repr_markdown_(self) -> str:
        """The page that a notebook shows."""
        return markdown(self)


@dataclass(frozen=True)
class Chosen:
    """The files of a corpus that are evaluated."""

    corpus: Corpus
    indices: tuple[int, ...]
    which: str
    leakage: list[str]


def choose_files(bundle: Bundle, data_dir: Path, split: Literal["auto", "all", "held_out"]) -> Chosen:
    """Of the corpus that the bundle was trained on, its validation split; of any other, all files.

    `split` "all" takes all in any case; "held_out" raises `UsageError` for another corpus.
    """
    corpus = read_corpus(data_dir)
    manifest = bundle.manifest or {}
    evidence, recipe = (each if isinstance(each := manifest.get(key), dict) else {} for key in ("evidence", "recipe"))
    trained_on = evidence.get("sha256") == corpus.fingerprint
    data = recipe.get("data")
    fraction = data.get("validation_fraction") if isinstance(data, dict) else None
    seed = recipe.get("seed")
    everything = tuple(range(len(corpus)))
    if split == "all" or (split == "auto" and not trained_on):
        which = (
            "all files, those that the bundle was trained on among them"
            if trained_on
            else "all files: the bundle was not trained on this corpus"
        )
        return Chosen(corpus, everything, which, [])
    if not trained_on or not isinstance(fraction, (int, float)) or not isinstance(seed, int):
        raise UsageError(
            f"{data_dir} is not the corpus that {bundle.folder} records as its evidence, so its held-out part is not "
            "known. Name that corpus, or evaluate everything with --split all."
        )
    parts = split_by_theorem(corpus, float(fraction), seed)
    which = f"the {len(parts.validation)} of {len(corpus)} files that the run held out by enclosing theorem"
    return Chosen(corpus, parts.validation, which, parts.leakage.describe())


def evaluate(
    bundle: Bundle | Path | str,
    data_dir: Path | str,
    *,
    split: Literal["auto", "all", "held_out"] = "auto",
    limit: int = 0,
    proposals: int = 1000,
    seconds: float = 1.0,
    temperature: float = 0.8,
    max_tokens: int = 100,
    seed: int = 0,
    threads: int = 1,
    stage: Stage = _quiet,
) -> ProofReport:
    """Evaluate a bundle, loaded or by its folder, on the proof files of `data_dir`.

    Bits per byte are measured on the files that `split` says (`choose_files`), next lines and proof search on at most
    `limit` of them (0: all), each search within so many `proposals` and, by itself, `seconds` a theorem. A line has at
    most `max_tokens` tokens and half the context. `stage` is told of each part.
    Raises `BundleError` for a bundle that is none, `EvidenceError` for broken files.
    """
    loaded = bundle if isinstance(bundle, Bundle) else load_bundle(bundle, threads=threads)
    longest = min(max_tokens, loaded.config.context_length // 2)
    return evaluate_proofs(
        loaded,
        choose_files(loaded, Path(data_dir), split),
        Sampling(temperature=temperature, max_tokens=longest, seed=seed),
        Budget(proposals, seconds),
        limit=limit,
        stage=stage,
    )


def check_report(folder: Path) -> None:
    """Raise `UsageError` unless a report may be written into `folder`: it replaces an earlier one and nothing else."""
    for name, kind in _REPORT_FILES.items():
        files.check_output(folder / name, kind)


def write_report(report: ProofReport, folder: Path) -> None:
    """Write report.json and report.md into `folder`, in place of an earlier report."""
    check_report(folder)
    files.write_json(folder / "report.json", report.as_json(), replaces=_REPORT_FILES["report.json"])
    files.write_text(folder / "report.md", markdown(report), replaces=_REPORT_FILES["report.md"])


def evaluate_proofs(
    bundle: Bundle, chosen: Chosen, sampling: Sampling, budget: Budget, *, limit: int, stage: Stage
) -> ProofReport:
    """Measure bits per byte on all chosen files, and next lines and guidance on at most `limit` of them (0: all).

    Those are drawn by the seed. Guidance is measured where all of them state theorems of Clew's own theories.
    """
    corpus, indices = chosen.corpus, chosen.indices
    texts = [corpus.texts[index] for index in indices]
    bits = bits_per_byte(bundle, texts, tick=stage("bits per byte", len(texts)))
    if 0 < limit < len(indices):
        drawn = generator(sampling.seed, "evaluated files").permutation(len(indices))[:limit]
        indices = tuple(indices[position] for position in sorted(drawn))
    named = [(corpus.names[index], corpus.proofs[index]) for index in indices]
    lines = next_lines(bundle, named, sampling, tick=stage("next lines", len(named)))
    theorems = _theorems(corpus, indices)
    guidance = None
    if theorems:
        guidance = compare(bundle, theorems, budget, sampling, tick=stage("proof search", len(theorems)))
    return ProofReport(
        bundle=str(bundle.folder),
        data_dir=str(corpus.folder),
        which=chosen.which,
        leakage=chosen.leakage,
        files=len(indices),
        limited_from=len(chosen.indices),
        seed=sampling.seed,
        bits_per_byte=bits,
        next_lines=lines,
        guidance=guidance,
    )


def _theorems(corpus: Corpus, indices: tuple[int, ...]) -> list[Theorem]:
    """The theorems that the files state, or none where one of them states none of ours."""
    try:
        return [read_theorem(corpus.proofs[index]) for index in indices]
    except StatementError:
        return []


def markdown(report: ProofReport) -> str:
    """The report as a page."""
    bits, lines = report.bits_per_byte, report.next_lines
    rows = [
        "| figure | value | cases |",
        "| --- | --- | --- |",
        f"| bits per byte | {bits.value:.4f} | {bits.files:,} files, {bits.bytes:,} bytes, {bits.tokens:,} tokens |",
    ]
    for k, found in lines.found.items():
        rows.append(f"| true line among {k} sampled first line{'s' if k > 1 else ''} | {_share(found)} |")
    page = [f"# {report.bundle} on {report.data_dir}", "", f"Evaluated: {report.which}.", *report.leakage]
    if report.files < report.limited_from:
        page.append(f"Next lines and proof search: {report.files} of these, drawn with seed {report.seed}.")
    page += ["", *rows]
    if report.guidance is not None:
        page += ["", "## Proof search", "", *_guidance(report.guidance)]
    else:
        page += ["", "No proof search: not all of these files state theorems of Clew's own theories."]
    return "\n".join(page) + "\n"


def _guidance(guidance: Guidance) -> list[str]:
    rows = ["| proved within | by enumeration | by the model |", "| --- | --- | --- |"]
    for title, shares in (
        (f"{guidance.budget.proposals:,} proposals", guidance.equal_proposals),
        (f"{guidance.budget.seconds:g} s", guidance.equal_seconds),
    ):
        rows.append(f"| {title} | {_of(shares['enumeration'])} | {_of(shares['model'])} |")
    gain = guidance.gain
    if gain is None:
        return [*rows, "", "Guidance gain: no theorem was proved by both, so there is nothing to compare."]
    rows += [
        "",
        f"Guidance gain: **{gain.geometric_mean:.2f}** (95% {gain.geometric_mean_low:.2f} to "
        f"{gain.geometric_mean_high:.2f}), the geometric mean of proposals until proof, enumeration over model, on the "
        f"{gain.cases} theorems that both prove, in either trial. Ratio of the means: "
        f"{gain.ratio_of_means:.2f} ({gain.ratio_of_means_low:.2f} to {gain.ratio_of_means_high:.2f}).",
    ]
    impatient = {name: count for name, count in guidance.out_of_patience.items() if count}
    if impatient:
        rows.append(
            f"The clock ({guidance.budget.patience:g} s) ended searches before their proposals were used up: "
            + ", ".join(f"{count} by {name}" for name, count in impatient.items())
            + ". They count as not proved."
        )
    return rows


def _of(each: Share) -> str:
    return f"{each.value:.1%} ({each.low:.1%} to {each.high:.1%}), {each.successes} of {each.cases}"


def _share(each: Share) -> str:
    return f"{each.value:.1%} (95% {each.low:.1%} to {each.high:.1%}) | {each.successes} of {each.cases} goals"
