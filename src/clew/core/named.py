"""Parts that are named in a table and imported when they are asked for."""

from __future__ import annotations

import importlib
from typing import Any


def named(spelled: str) -> Any:
    """What "module:attribute" names, imported now."""
    module, _, attribute = spelled.partition(":")
    return getattr(importlib.import_module(module), attribute)
