"""What the benchmarks share: the machine's description and the JSON line that each ends its stdout with."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Processor, cores for this process, memory, versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"system": platform.system(), "processor": model, "cores": cores, "python": platform.python_version()}


def figure(value: float, unit: str, target: float | None = None, better: str = "higher") -> dict[str, Any]:
    """One measured figure; `met` is True where there is no target. `better`: "higher" or "lower"."""
    if better not in ("higher", "lower"):
        raise ValueError(f"better is 'higher' or 'lower', not {better!r}")
    met = target is None or (value >= target if better == "higher" else value <= target)
    return {"value": value, "unit": unit, "target": target, "better": better, "met": met}


def emit(name: str, figures: dict[str, dict[str, Any]]) -> None:
    """Print the figures for the eye, then the one line of JSON that ends the benchmark's stdout."""
    for key, entry in figures.items():
        goal = (
            "" if entry["target"] is None else f"  (target {entry['target']:g}, {'met' if entry['met'] else 'MISSED'})"
        )
        print(f"{key:<36} {entry['value']:>14,.4g} {entry['unit']}{goal}")
    print(json.dumps({"benchmark": name, "machine": machine(), "figures": figures}), flush=True)
