"""Pieces of a page about a change: sentences, tables and cells in Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from clew.traces.paired import Change


def verdict(change: Change) -> str:
    """The change in a sentence."""
    test = f"p = {p_text(change.p_value)}"
    counts = f"{change.better} better, {change.worse} worse, {change.same} the same ({test})"
    interval = f"95% {between(change)}"
    if change.low > 0:
        return f"The average rose by **{_points(change, change.change)}** ({interval}): {counts}."
    if change.high < 0:
        return f"The average fell by **{_points(change, -change.change)}** ({interval}): {counts}."
    return f"No change is shown: **{signed(change, change.change)}** ({interval}), {counts}."


def statistics(change: Change) -> list[str]:
    """The figures of a change as a table."""
    better, worse = ("from wrong to right", "from right to wrong") if change.binary else ("got better", "got worse")
    return [
        "| figure | value |",
        "| --- | --- |",
        f"| examples | {change.examples} |",
        f"| {better} | {change.better} |",
        f"| {worse} | {change.worse} |",
        f"| unchanged | {change.same} |",
        f"| {'McNemar, exact' if change.binary else 'sign test, exact'}: p | {p_text(change.p_value)} |",
        "",
    ]


def table(kind: str, groups: Mapping[str, Change]) -> list[str]:
    """The change of each group, a row each."""
    rows = [f"| {kind} | examples | before | after | change | better | worse | p |", f"|{' --- |' * 8}"]
    rows += [
        f"| {code(label)} | {each.examples} | {mean(each, 'before')} | {mean(each, 'after')} | {delta(each)} | "
        f"{each.better} | {each.worse} | {p_text(each.p_value)} |"
        for label, each in groups.items()
    ]
    return rows


def code(text: str, most: int = 120) -> str:
    """A text of any content as code in a cell of a table: one line, nothing in it read as Markdown."""
    if not text:
        return "(nothing)"
    cut = text if len(text) <= most else text[: most - 1] + "…"
    line = "".join(each if each.isprintable() else repr(each)[1:-1] for each in cut).replace("|", r"\|")
    fence = "`"
    while fence in line:
        fence += "`"
    return f"{fence} {line} {fence}" if "`" in line or line != line.strip() else f"{fence}{line}{fence}"


def mean(change: Change, which: str) -> str:
    """An average with its interval; `which`: "before" or "after"."""
    found = getattr(change, which)
    if not change.binary:
        return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
    right = round(found.value * change.examples)
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%}), {right} of {change.examples}"


def delta(change: Change) -> str:
    """The change with its interval."""
    return f"{signed(change, change.change)} ({between(change)})"


def between(change: Change) -> str:
    """The interval of a change."""
    return f"{signed(change, change.low).removesuffix(' points')} to {signed(change, change.high)}"


def signed(change: Change, value: float) -> str:
    """A difference of averages, in points of a hundred where answers are right or wrong."""
    return f"{100 * value:+.1f} points" if change.binary else f"{value:+.3f}"


def _points(change: Change, value: float) -> str:
    return f"{100 * value:.1f} points" if change.binary else f"{value:.3f}"


def p_text(value: float) -> str:
    """A p-value."""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"
