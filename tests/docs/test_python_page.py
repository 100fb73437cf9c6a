"""The snippets of docs/python.md, run in the order of the page in one process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import clew

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def snippets() -> list[str]:
    """The python blocks of the page."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_every_snippet_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    threads, names = torch.get_num_threads(), {}
    try:
        for number, snippet in enumerate(snippets(), 1):
            exec(compile(snippet, f"{PAGE.name}, snippet {number}", "exec"), names)
    finally:
        torch.set_num_threads(threads)
    said = capsys.readouterr().out
    assert names["metrics"]["loss"][-1] < names["metrics"]["loss"][0]
    assert Path("curves.png").read_bytes().startswith(b"\x89PNG")
    assert "Did you mean 'max_steps'?" in said
    assert len(names["table"].moves) == 0


@pytest.mark.parametrize("name", clew.__all__)
def test_the_page_tells_of_every_name(name):
    assert re.search(rf"clew\.{name}\b|`{name}`", PAGE.read_text(encoding="utf-8"))
