"""What a page of the docs asks its reader to write."""

from __future__ import annotations

import re
from pathlib import Path


def files_of(page: Path) -> dict[str, str]:
    """Name -> text of the Python files that a page shows: blocks whose first line is a comment with the name."""
    text = page.read_text(encoding="utf-8")
    return {
        name: f"# {name}\n{rest}" for name, rest in re.findall(r"```python\n# (\S+\.py)\n(.*?)```", text, re.DOTALL)
    }
