"""The snippet of docs/synthesis.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "synthesis.md"


def test_the_snippet_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, PAGE.name, "exec"), {})
    assert capsys.readouterr().out.strip().endswith("found")
