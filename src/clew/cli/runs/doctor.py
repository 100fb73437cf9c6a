"""`clew doctor`: what this machine has, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from clew.cli import flags
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE, EXIT_FAILED
from clew.core.files import exists

# package -> (what it is for, the extra that brings it; None: Clew itself needs it)
_PACKAGES: dict[str, tuple[str, str | None]] = {
    "numpy": ("arrays", None),
    "pydantic": ("recipes", None),
    "tokenizers": ("BPE", None),
    "safetensors": ("checkpoints", None),
    "onnxruntime": ("running bundles", None),
    "torch": ("training", "train"),
    "onnx": ("export", "train"),
    "onnxscript": ("export", "train"),
    "matplotlib": ("plots", "train"),
    "numba": ("games and their search", "games"),
    "psycopg": ("replay databases in PostgreSQL", "postgres"),
    "transformers": ("verifying the Hugging Face export", "hf"),
}


class DoctorOptions(flags.Options):
    """Say what this machine has, what is missing, and how to mend it. Exits 1 when something Clew needs is missing."""

    runs_dir: Path = Path("runs")
    """Folder that runs would be made in: its disk is looked at."""
    as_json: flags.Json = False
    """Print the findings as one JSON document, the last line of stdout."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `level` is ok, note (something would be better) or missing (something does not work)."""

    level: str
    subject: str
    text: str
    mend: str | None = None


def main(arguments: list[str]) -> int:
    """Look at the machine."""
    options = flags.parse(DoctorOptions, arguments, program="clew doctor")
    findings = [_python(), _machine(), *_packages(), *_devices(), _compiler(), _disk(options.runs_dir)]
    if options.as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.level:<8} {finding.subject:<13} {finding.text}")
            if finding.mend:
                print(f"{'':<22} mend: {finding.mend}")
    return EXIT_FAILED if any(finding.level == "missing" for finding in findings) else EXIT_DONE


def _python() -> Finding:
    return Finding("ok", "python", platform.python_version())


def _machine() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB of memory"
    return Finding("ok", "machine", f"{platform.system()} {platform.machine()}, {cores} cores for this process{memory}")


def _packages() -> list[Finding]:
    findings = []
    for name, (purpose, extra) in _PACKAGES.items():
        if importlib.util.find_spec(name) is not None:
            findings.append(Finding("ok", name, f"{importlib.metadata.version(name)} ({purpose})"))
            continue
        mend = f"pip install 'clew[{extra}]'" if extra else "pip install --force-reinstall clew"
        findings.append(Finding("note" if extra else "missing", name, f"not installed: no {purpose}", mend))
    return findings


def _devices() -> list[Finding]:
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    from clew.training.devices import native_bfloat16

    cpu = "bfloat16 is native" if native_bfloat16(torch.device("cpu")) else "float32 (no native bfloat16)"
    findings = [Finding("ok", "cpu", f"{cpu}; {torch.get_num_threads()} threads")]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        findings.append(Finding("ok", f"cuda:{index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"))
    if torch.backends.mps.is_available():
        findings.append(Finding("ok", "mps", "Apple GPU"))
    if shutil.which("nvidia-smi") and not torch.cuda.is_available():
        text = "there is an NVIDIA driver, but this build of torch cannot use it"
        findings.append(Finding("note", "cuda", text, "install a CUDA build of torch"))
    return findings


def _compiler() -> Finding:
    found = next((name for name in (os.environ.get("CXX", "g++"), "clang++") if shutil.which(name)), None)
    if found:
        return Finding("ok", "compiler", f"{found}: torch.compile works on the CPU")
    return Finding("note", "compiler", "no C++ compiler: training on the CPU is not compiled", "install g++ or clang++")


def _disk(runs_dir: Path) -> Finding:
    folder = runs_dir.absolute()
    while not exists(folder):
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free / 2**30
    except OSError as error:
        return Finding("missing", "disk", f"{folder} cannot be written: {error.strerror}", "choose another --runs-dir")
    if free < 1:
        return Finding("missing", "disk", f"{free:.2f} GiB free in {folder}", "free some space")
    return Finding("ok", "disk", f"{free:.0f} GiB free in {folder}")
