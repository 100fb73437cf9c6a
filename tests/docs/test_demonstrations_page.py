"""The snippet of docs/demonstrations.md, on tasks of the small grammar."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clew.programs.demonstrations import write
from clew.programs.grammar import SMALL
from clew.programs.held_out import held_out

PAGE = Path(__file__).parents[2] / "docs" / "demonstrations.md"


def test_the_environment_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("held_out.jsonl"), held_out(3, 7, SMALL))
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(snippet, {})
    assert "?" in capsys.readouterr().out
