"""What an actor loads is light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_rules_load_without_torch_and_onnx_runtime():
    """An actor's rooms are light: what takes seconds to import is not among them."""
    code = "import sys, clew.games.self_play; print([name for name in ('torch', 'onnxruntime') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path.cwd(), check=True)
    assert ran.stdout.strip() == "[]"
