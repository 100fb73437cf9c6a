"""Two evaluations, paired by id: the figures by hand, the page, the JSON and the picture."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.core.errors import UsageError
from clew.traces.evaluation_rows import Evaluation, read_evaluation
from clew.traces.page import code, verdict
from clew.traces.paired import change_between
from clew.traces.report import compare, markdown, write_report
from clew.traces.schema import InvalidError
from small_chat import row, write_rows

DATE = "2026-01-31"
BEFORE = [0.0] * 7 + [1.0] * 3
AFTER = [1.0] * 5 + [0.0] * 2 + [0.0] + [1.0] * 2


def labels(number: int) -> dict[str, str]:
    return {"category": "sum" if number % 2 else "product", "difficulty": str(number % 3 + 9)}


def rows_of(scores, model="before", **values):
    return [row(number, score, model=model, **labels(number), **values) for number, score in enumerate(scores)]


def evaluation(scores, model="before", **values):
    return Evaluation(tuple(rows_of(scores, model, **values)), {}, f"{model}.jsonl")


def test_the_figures_of_ten_questions_worked_by_hand():
    # 5 went from wrong to right, 1 from right to wrong, 2 stayed wrong, 2 stayed right.
    report = compare(evaluation(BEFORE), evaluation(AFTER, "after"), date=DATE)
    change = report.summary
    assert (change.examples, change.better, change.worse, change.same) == (10, 5, 1, 4)
    assert (change.before.value, change.after.value) == (0.3, 0.7)
    assert change.change == pytest.approx(0.4)
    assert change.p_value == 14 / 64  # twice (1 + 6) of 2^6
    assert -0.1 <= change.low <= 0.1
    assert 0.7 <= change.high <= 0.9
    assert change.binary
    assert [(each.id, each.change) for each in report.better] == [(f"q{number}", 1.0) for number in range(5)]
    assert [(each.id, each.change) for each in report.worse] == [("q7", -1.0)]


def test_rows_are_paired_by_id_wherever_they_stand():
    straight = compare(evaluation(BEFORE), evaluation(AFTER, "after"), date=DATE)
    turned = Evaluation(tuple(reversed(rows_of(AFTER, "after"))), {}, "after.jsonl")
    assert compare(evaluation(BEFORE), turned, date=DATE) == straight
    # By position, nothing would have got worse.
    assert straight.summary.worse == 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_a_change_is_the_mean_of_the_differences_and_lies_in_its_interval(pairs):
    before, after = [old for old, _ in pairs], [new for _, new in pairs]
    there, back = change_between(before, after), change_between(after, before)
    assert there.change == pytest.approx(there.after.value - there.before.value, abs=1e-9)
    assert back.change == pytest.approx(-there.change, abs=1e-9)
    assert (there.better, there.worse, there.same) == (back.worse, back.better, back.same)
    assert there.p_value == back.p_value
    assert there.low - 1e-9 <= there.change <= there.high + 1e-9 or len(pairs) < 5


def test_each_category_and_difficulty_has_the_figures_of_its_own_questions():
    report = compare(evaluation(BEFORE), evaluation(AFTER, "after"), date=DATE)
    assert list(report.groups) == ["category", "difficulty"]
    # Numbers stand in the order of numbers.
    assert list(report.groups["difficulty"]) == ["9", "10", "11"]
    for kind, groups in report.groups.items():
        assert sum(change.examples for change in groups.values()) == 10
        for label, change in groups.items():
            members = [number for number in range(10) if labels(number)[kind] == label]
            alone = change_between([BEFORE[each] for each in members], [AFTER[each] for each in members])
            assert change == alone


def test_evaluations_of_different_questions_are_refused_and_what_differs_is_said():
    before = evaluation(BEFORE)
    with pytest.raises(InvalidError, match=r"before\.jsonl and after\.jsonl .* 2 only in the first \(q8, q9\)"):
        compare(before, evaluation(AFTER[:8], "after"))
    with pytest.raises(InvalidError, match=r"1 only in the second \(q9\)"):
        compare(evaluation(BEFORE[:9]), evaluation(AFTER, "after"))
    with pytest.raises(InvalidError, match=r"10 with another prompt \(q0, q1, q2, \.\.\.\)"):
        compare(before, evaluation(AFTER, "after", prompt="What?"))
    with pytest.raises(InvalidError, match="10 with another expected answer"):
        compare(before, evaluation(AFTER, "after", expected_answer="7"))
    with pytest.raises(InvalidError, match=r"judged by 'answer', after\.jsonl by 'exact'"):
        compare(before, evaluation(AFTER, "after", judge="exact"))


def test_the_same_evaluations_give_the_same_files_but_for_the_date(tmp_path):
    made = []
    for name in ("a", "b"):
        report = compare(evaluation(BEFORE), evaluation(AFTER, "after"), date=DATE)
        paths = write_report(report, tmp_path / name / "delta_report.md")
        assert [path.name for path in paths] == ["delta_report.md", "delta_report.json", "delta_report.png"]
        made.append([path.read_bytes() for path in paths])
    assert made[0] == made[1]
    other = compare(evaluation(BEFORE), evaluation(AFTER, "after"), date="2026-02-01")
    page = markdown(other)
    assert page.replace("2026-02-01", DATE) == markdown(report)
    assert made[0][2].startswith(b"\x89PNG")


def test_the_page_has_what_its_readers_look_for_and_the_json_the_same_figures(tmp_path):
    report = compare(evaluation(BEFORE), evaluation(AFTER, "after"), date=DATE)
    page, document, _ = write_report(report, tmp_path / "delta_report.md")
    text, told = page.read_text(), json.loads(document.read_text())
    for expected in (
        "- Date: 2026-01-31\n",
        "- Number of examples: 10\n",
        "| | before | after | change |\n",
        "| average score | 30.0% (10.8% to 60.3%), 3 of 10 | 70.0% (39.7% to 89.2%), 7 of 10 | +40.0 points (",
        "| id | prompt | expected | answer before | answer after | score before | score after | change |\n",
        "| `q0` | `What is 0 + 1?` | `answer 0` | `nothing 0` | `answer 0` | 0 | 1 | +1 |\n",
        "| `q7` | `What is 7 + 1?` | `answer 7` | `answer 7` | `nothing 7` | 1 | 0 | -1 |\n",
        "| McNemar, exact: p | 0.219 |\n",
        "### By category",
        "### By difficulty",
        "## Method",
        "10,000 resamplings of the questions, seed 0",
        "![before and after](delta_report.png)",
    ):
        assert expected in text, expected
    headings = re.findall(r"^##? .*$", text, re.MULTILINE)
    assert headings == [
        "# What training changed",
        "## Summary",
        "## Examples",
        "## Statistics",
        "## Method",
        "## Notes",
    ]
    assert told["summary"]["change"] == pytest.approx(0.4)
    assert told["summary"]["p_value"] == 14 / 64
    assert told["summary"]["before"]["value"] == 0.3
    assert told["groups"]["category"]["sum"]["examples"] == 5
    assert [each["id"] for each in told["examples"]] == [f"q{number}" for number in range(10)]
    assert told["date"] == DATE
    assert all(sentence in text for sentence in told["method"])


def test_graded_scores_are_not_called_right_or_wrong():
    before = evaluation([0.25, 0.5, 0.0, 1.0])
    after = evaluation([0.5, 0.25, 0.75, 1.0], "after")
    report = compare(before, after, date=DATE)
    assert not report.summary.binary
    # A group of the binary ones keeps the unit of the whole.
    assert not any(change.binary for groups in report.groups.values() for change in groups.values())
    text = markdown(report)
    assert "points" not in text
    assert "McNemar" not in text
    assert "the exact sign test" in text
    assert "+0.188" in text


def test_a_fall_is_called_one_and_no_change_none():
    assert verdict(change_between([1.0] * 40, [0.0] * 20 + [1.0] * 20)).startswith(
        "The average fell by **50.0 points**"
    )
    assert verdict(change_between([0.0] * 40, [1.0] * 20 + [0.0] * 20)).startswith(
        "The average rose by **50.0 points**"
    )
    assert verdict(change_between([0.0, 1.0] * 9, [1.0, 0.0] * 9)).startswith("No change is shown: **+0.0 points**")
    assert "(p = 1.000)" in verdict(change_between([1.0] * 5, [1.0] * 5))


def test_what_makes_the_figures_doubtful_is_noted():
    cut = evaluation(BEFORE, finished=False, prompt="Same?")
    report = compare(cut, evaluation(AFTER, "after", prompt="Same?"), date=DATE)
    notes = " ".join(report.notes)
    assert "10 of 10 answers before training were cut" in notes
    assert "9 questions repeat the prompt of another" in notes
    assert "is not recorded beside before.jsonl" in notes
    made = {"sampling": {"temperature": 0, "seed": 1}, "model": {"template_sha256": "a", "system": ""}}
    other = {"sampling": {"temperature": 0.8, "seed": 1}, "model": {"template_sha256": "b", "system": ""}}
    first = Evaluation(tuple(rows_of(BEFORE)), made, "before.jsonl")
    second = Evaluation(tuple(rows_of(AFTER)), other, "after.jsonl")
    (note,) = compare(first, second, date=DATE).notes
    assert "temperature (0 before, 0.8 after), template (a before, b after)" in note
    assert compare(first, Evaluation(second.rows, made, "after.jsonl"), date=DATE).notes == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", r"`a\|b`"),
        ("a\nb", r"`a\nb`"),
        ("`x`", "`` `x` ``"),
        ("\x1b[31mred\0", r"`\x1b[31mred\x00`"),
        ("", "(nothing)"),
        ("x" * 200, f"`{'x' * 119}…`"),
        ("<b>*1*</b>", "`<b>*1*</b>`"),
    ],
)
def test_any_text_is_one_cell_of_a_table(text, expected):
    assert code(text) == expected


def test_hostile_texts_leave_the_tables_whole():
    nasty = "|\n# What?\n```\n| a | b |\n<script>"
    before = evaluation(BEFORE, completion=nasty, answer=None, prompt="Say" + nasty)
    after = evaluation(AFTER, "after", completion=nasty, answer=nasty, prompt="Say" + nasty)
    text = markdown(compare(before, after, date=DATE))
    rows = [line for line in text.splitlines() if line.startswith("| `q")]
    assert len(rows) == 6
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {9}
    assert text.count("\n# ") == 0


def test_thirty_changes_are_shown_ten_at_a_time_the_greatest_first():
    before = evaluation([0.0] * 30)
    after = evaluation([number / 30 for number in range(30)], "after")
    report = compare(before, after, date=DATE)
    text = markdown(report)
    assert "### Got better: 10 of 29" in text
    assert "### Got worse: none" in text
    assert [each.id for each in report.better[:3]] == ["q29", "q28", "q27"]


def test_files_that_are_read_give_the_same_report(tmp_path):
    first = read_evaluation(write_rows(tmp_path / "before.jsonl", rows_of(BEFORE)))
    second = read_evaluation(write_rows(tmp_path / "after.jsonl", rows_of(AFTER, "after")))
    read = compare(first, second, date=DATE)
    assert read.summary == compare(evaluation(BEFORE), evaluation(AFTER, "after"), date=DATE).summary


def test_a_report_replaces_a_report_and_nothing_else(tmp_path):
    report = compare(evaluation(BEFORE), evaluation(AFTER, "after"), date=DATE)
    write_report(report, tmp_path / "delta_report.md")
    write_report(report, tmp_path / "delta_report.md")
    (tmp_path / "notes.md").write_text("# My notes\n")
    with pytest.raises(UsageError, match="is not a report of clew report"):
        write_report(report, tmp_path / "notes.md")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UsageError, match=r"other\.json is there"):
        write_report(report, tmp_path / "other.md")
    assert not (tmp_path / "other.md").exists()
    with pytest.raises(UsageError, match=r"Call it \*\.md"):
        write_report(report, tmp_path / "delta.json")
