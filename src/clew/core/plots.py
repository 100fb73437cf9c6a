"""Pictures: figures that no window shows, and PNG files. matplotlib is imported when the first one is made."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from clew.core.errors import ClewError
from clew.core.files import PNG, write_bytes

MODEL, OTHER = "#c2410c", "#8a8f98"
"""Colours of a model, and of what it is compared with."""


def figure(rows: int = 1, columns: int = 1, *, size: tuple[float, float]) -> tuple[Any, Any]:
    """A matplotlib figure of `size` inches (width, height) and its axes as an array [rows, columns].

    The axes have a light grid and no frame at the top and the right. Nothing global is touched: no pyplot, no window.
    Raises `ClewError` when matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ClewError("Drawing needs matplotlib: pip install 'clew[train]'.") from error
    made = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(made)
    grid = made.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return made, grid


def save_png(made: Any, path: Path) -> None:
    """Write a figure to `path` as PNG, whole or not at all; an earlier picture is replaced, nothing else is."""
    content = io.BytesIO()
    made.savefig(content, format="png", dpi=130)
    write_bytes(path, content.getvalue(), replaces=PNG)
