"""`base`: a small GPT of ours, pretrained on this machine when it is first asked for and kept by its hash."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from clew import recipes
from clew.core import files
from clew.core.errors import ClewError, UsageError
from clew.core.randomness import key
from clew.core.supervisor import Child, Supervisor
from clew.export.gpt import load_gpt
from clew.export.onnx_weights import read_gpt
from clew.models.chat_net import GPTNet
from clew.models.gpt import GPT
from clew.proofs.corpus_maker import TRAIN, generate_corpus
from clew.recipes import base as recipe
from clew.recipes.next_token import NextTokenRecipe
from clew.runs.checkpoints import find_checkpoint
from clew.traces.evidence import PreparedChat
from clew.traces.named_models import BASE, NamedModel
from clew.training.devices import Placement

CACHE = "CLEW_CACHE"
"""Environment variable: the folder that models are kept in, in place of ~/.cache/clew."""
RECIPE = "CLEW_BASE_RECIPE"
"""Environment variable: the recipe that `base` is made by, in place of the shipped one of that name."""
CHECKPOINT = "checkpoint"
MOST_THEOREMS = 2000
_MADE_BY = (
    "clew.models.gpt", "clew.objectives.next_token", "clew.objectives.packing", "clew.proofs.generator",
    "clew.proofs.theories", "clew.proofs.tokenizers", "clew.training.optimizers", "clew.training.schedules",
)  # fmt: skip
"""Modules whose code decides what comes out."""


def open_net(prepared: PreparedChat, placement: Placement) -> GPTNet:
    """The GPT that training begins with, on the placement's device, for rows as long as the recipe says."""
    gpt = load_named(prepared.model)
    if prepared.length > gpt.config.context_length:
        gpt.config = replace(gpt.config, context_length=prepared.length)
    return GPTNet(gpt.to(placement.device).train())


def load_named(model: NamedModel) -> GPT:
    """The weights of a model of ours; those of `base` are made where they are not there yet."""
    if model.checkpoint is not None:
        return load_gpt(model.checkpoint)[0]
    if model.bundle is not None:
        return read_gpt(model.bundle)
    return load_gpt(base_folder() / CHECKPOINT)[0]


def cache_folder() -> Path:
    """Where models are kept that are made or fetched once."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "clew")


def base_folder(say: Callable[[str], None] | None = None) -> Path:
    """The folder of `base`, made now if it is not there: whole or not at all, by one process at a time.

    It holds `checkpoint/` with the tokenizer beside the weights. Raises `ClewError`.
    """
    say = say or (lambda text: print(text, file=sys.stderr, flush=True))
    settled = _recipe()
    folder = cache_folder() / f"{BASE}-{_key(settled)[:16]}"
    if files.is_file(folder / CHECKPOINT / "state.json"):
        return folder
    with alone(folder.with_suffix(".lock")):
        if not files.is_file(folder / CHECKPOINT / "state.json"):
            say(f"the model {BASE} is made once on this machine, in a minute or two, and kept in {folder}")
            _make(settled, folder)
    return folder


def _recipe() -> NextTokenRecipe:
    loaded = recipes.load(os.environ.get(RECIPE) or BASE)
    if not isinstance(loaded, NextTokenRecipe):
        raise UsageError(f"{RECIPE} names a recipe of {loaded.objective}; {BASE} is made by one of next_token.")
    return loaded


def _theorems(settled: NextTokenRecipe) -> int:
    plan = settled.training
    return max(20, min(MOST_THEOREMS, plan.max_steps * plan.batch_size))


def _key(settled: NextTokenRecipe) -> str:
    """Hash of all that decides which weights come out, but for the machine."""
    sources = [importlib.import_module(name).__file__ for name in _MADE_BY]
    code = [files.sha256_of_file(Path(source)) for source in sources if source]
    return files.sha256_of(files.canonical_json([recipe.sha256(settled), _theorems(settled), torch.__version__, code]))


def _make(settled: NextTokenRecipe, folder: Path) -> None:
    """Write the theorems, pretrain in a process of its own, and keep the checkpoint."""
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent) as room:
        corpus, runs_dir, written = Path(room) / "theorems", Path(room) / "runs", Path(room) / "base.yaml"
        seed = key(settled.seed, "base theorems") % 2**31
        generate_corpus(corpus, theorems=_theorems(settled), seed=seed, held_out=0)
        data = settled.data.model_copy(update={"data_dir": str(corpus / TRAIN)})
        files.write_text(written, recipe.to_yaml(settled.model_copy(update={"data": data})))
        child = Child(BASE, ["train", str(written), "--runs-dir", str(runs_dir)], restarts=0)
        with Supervisor() as supervisor:
            with _without_torchrun():
                supervisor.start(child)
            while child.running:
                time.sleep(0.1)
        if child.code != 0:
            raise ClewError(f"The model {BASE} could not be made; what the training said stands above.")
        (run,) = runs_dir.iterdir()
        checkpoint = find_checkpoint(run / "checkpoints", "latest")
        with files.whole_folder(folder) as temporary:
            kept = temporary / CHECKPOINT
            kept.mkdir(mode=files.FOLDER_MODE)
            for name in ("model.safetensors", "state.json"):
                (kept / name).write_bytes((checkpoint / name).read_bytes())
            (kept / "tokenizer.json").write_bytes((run / "tokenizer.json").read_bytes())


@contextlib.contextmanager
def _without_torchrun() -> Iterator[None]:
    """Behind torchrun, this process's place among the others is none of a child's."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock at `path`, in a folder that is made for it; wait for whoever holds it."""
    with files.sentences_for(path, "open"):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with contextlib.suppress(ImportError):  # a system without fcntl: no lock to be had
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
