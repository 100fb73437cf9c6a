"""What a page of the docs asks its reader to write."""

from __future__ import annotations

import re
from pathlib import Path


def files_of(page: Path) -> dict[str, str]:
    """Name -> text of the files (.py, .dsl) that a page shows: blocks whose first line is a comment with the name."""
    text = page.read_text(encoding="utf-8")
    return {
        name: f"# {name}\n{rest}"
        for name, rest in re.findall(r"```\w+\n# (\S+\.(?:py|dsl))\n(.*?)```", text, re.DOTALL)
    }
