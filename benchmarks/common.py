"""What every benchmark shares: the machine it ran on, its figures against their targets, and the last line."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system and the packages that the figures depend on."""
    import importlib.metadata

    versions = {}
    for package in ("torch", "numpy", "onnxruntime", "tokenizers", "transformers"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **versions,
    }


def figure(
    value: float, unit: str, *, target: float | None = None, better: Literal["higher", "lower"] = "higher"
) -> dict[str, Any]:
    """One figure. Without a target it is met by being measured."""
    met = target is None or (value >= target if better == "higher" else value <= target)
    return {"value": float(f"{value:.5g}"), "unit": unit, "target": target, "better": better, "met": met}


def emit(name: str, figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the figures as a table and then, as the last line of stdout, as one JSON document.

    A missed target is reported, not an error: how fast a machine is says nothing about whether the code is right.
    """
    for key, each in figures.items():
        sign = ">=" if each["better"] == "higher" else "<="
        goal = (
            "" if each["target"] is None else f"  target {sign} {each['target']}: {'met' if each['met'] else 'MISSED'}"
        )
        print(f"{key:<40} {each['value']:>12} {each['unit']:<14}{goal}")
    print(json.dumps({"benchmark": name, "machine": machine(), "figures": figures}, ensure_ascii=False), flush=True)


def median_seconds(work: Callable[[], object], *, repeats: int, warm_up: int = 1) -> float:
    """Median duration of `work()` over `repeats` runs after `warm_up` that are not counted."""
    for _ in range(warm_up):
        work()
    durations = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        durations.append(time.perf_counter() - begun)
    return statistics.median(durations)


def say(text: str) -> None:
    """Tell what is being done, on stderr."""
    print(text, file=sys.stderr, flush=True)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
