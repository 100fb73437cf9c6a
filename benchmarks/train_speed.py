"""How many useful tokens a second `clew train tactics` learns from, beside a plain training loop, in one run.

A token is useful once an epoch; padding and second sightings are not. The plain loop has the same tokenizer, sizes,
batch and optimiser settings, and what such scripts usually do: learned positions, hand-written masked attention,
padded windows of 256 tokens at a stride of 128, eager float32, AdamW. Both are run in processes of their own, in
turns; the median of the turns counts. Ours is the real command's loop, timed from its own timing.jsonl.

    python benchmarks/train_speed.py --data-dir DIR [--recipe tactics] [--full]
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from common import emit, figure
from torch import Tensor, nn

from clew import recipes
from clew.recipes.base import Recipe

CONTEXT, STRIDE = 256, 128
WARM = 4
"""Steps before the clock starts: allocation, and compiling where the recipe compiles."""


class PlainBlock(nn.Module):
    """One layer as scripts write it."""

    def __init__(self, width: int, heads: int, mlp: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, mlp, bias=False), nn.Linear(mlp, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, seq, width] to the same shape."""
        batch, length, width = x.shape
        y = self.norm1(x)
        q, k, v = (part(y).view(batch, length, self.heads, -1).transpose(1, 2) for part in (self.q, self.k, self.v))
        scores = q @ k.transpose(-2, -1) / math.sqrt(width // self.heads)
        causal = torch.tril(torch.ones(length, length, dtype=torch.bool))
        weights = self.dropout(torch.softmax(scores.masked_fill(~causal, float("-inf")), dim=-1))
        x = x + self.dropout(self.out((weights @ v).transpose(1, 2).reshape(batch, length, width)))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm2(x)))))


class PlainGPT(nn.Module):
    """Learned positions, tied embeddings, the block above."""

    def __init__(self, vocab_size: int, width: int, layers: int, heads: int, mlp: int, dropout: float) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab_size, width), nn.Embedding(CONTEXT, width)
        self.blocks = nn.Sequential(*(PlainBlock(width, heads, mlp, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [batch, seq, vocab_size]."""
        x = self.dropout(self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1])))
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight)


def run_plain(recipe: Recipe, steps: int, tokenizer_path: Path) -> dict[str, float]:
    """Time the plain loop; return useful tokens a second."""
    from clew.proofs.tokenizers import load_tokenizer
    from clew.training.launch import prepare

    prepared = prepare(recipe)
    tokenizer = load_tokenizer(tokenizer_path)
    documents = tokenizer.encode_batch(prepared.texts(prepared.split.train))
    windows = [
        document[start : start + CONTEXT + 1].astype(np.int64)
        for document in documents
        for start in range(0, max(1, len(document) - 1 - STRIDE), STRIDE)
    ]
    useful = sum(len(document) - 1 for document in documents)
    size = recipe.training.batch_size
    torch.manual_seed(recipe.seed)
    model = PlainGPT(tokenizer.vocab_size, 256, 6, 8, 1024, 0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1)
    order = np.random.default_rng(recipe.seed).permutation(len(windows))
    times = []
    for step in range(WARM + steps):
        began = time.perf_counter()
        tokens = torch.zeros(size, CONTEXT + 1, dtype=torch.long)
        targets = torch.full((size, CONTEXT), -100)
        for row in range(size):
            window = torch.from_numpy(windows[order[(step * size + row) % len(order)]])
            tokens[row, : len(window)] = window
            targets[row, : len(window) - 1] = window[1:]
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), targets.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        times.append(time.perf_counter() - began)
    seconds = statistics.mean(times[WARM:])
    return {"useful_tokens_per_second": useful / (len(windows) / size * seconds), "seconds_per_step": seconds}


def run_ours(recipe: Recipe, steps: int, folder: Path) -> dict[str, float]:
    """Time the real command's loop; return useful tokens a second."""
    from clew.training import launch

    plan = recipe.training.model_copy(
        update={"log_every": 1, "evaluate_every": 10**9, "checkpoint_every": 10**9, "max_steps": WARM + steps}
    )
    if plan.compile == "auto":  # decided for the run that the recipe plans, not for these few steps
        plan = plan.model_copy(update={"compile": "yes" if _compiles(recipe) else "no"})
    samples = recipe.samples.model_copy(update={"sample_tokens": 0})
    run, _ = launch.train(
        recipe.model_copy(update={"training": plan, "samples": samples}), folder, say=lambda text: None, shows=False
    )
    timing = [json.loads(line) for line in (run.folder / "timing.jsonl").read_text().splitlines()]
    seconds = (timing[-1]["elapsed"] - timing[WARM - 1]["elapsed"]) / (len(timing) - WARM)
    rates = [row["tokens_per_second"] for row in timing[WARM:]]
    return {"useful_tokens_per_second": statistics.harmonic_mean(rates), "seconds_per_step": seconds}


def _compiles(recipe: Recipe) -> bool:
    from clew.objectives.next_token import NextToken
    from clew.proofs.evidence import prepare
    from clew.training import devices

    with tempfile.TemporaryDirectory() as folder, devices.placement(recipe.training) as placement:
        prepared = prepare(recipe)
        prepared.keep(Path(folder))
        objective = NextToken(prepared, Path(folder), placement)
        return devices.pays_to_compile(recipe.training, placement.device, objective.planned_flops())


def main() -> None:
    """Measure in turns and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder of proof files (default: theorems generated for this run)")
    parser.add_argument("--recipe", default="tactics")
    parser.add_argument("--full", action="store_true", help="three turns of 24 steps in place of one of 8")
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=["plain", "ours"], help=argparse.SUPPRESS)
    parser.add_argument("--tokenizer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    steps, turns = options.steps or (24 if options.full else 8), 3 if options.full else 1
    with tempfile.TemporaryDirectory() as folder:
        data_dir = options.data_dir
        if data_dir is None:
            subprocess.run(
                [sys.executable, "-m", "clew.cli.main", "proofs", "generate", f"{folder}/proofs", "--theorems", "2000"],
                check=True,
                stdout=sys.stderr,
            )
            data_dir = f"{folder}/proofs/train"
        recipe = recipes.load(options.recipe)
        data = recipe.data.model_copy(update={"data_dir": data_dir})
        if options.tokenizer:
            data = data.model_copy(update={"tokenizer": str(options.tokenizer)})
        recipe = recipe.model_copy(update={"data": data})
        if options.side:
            torch.set_num_threads(torch.get_num_threads())
            if options.side == "plain":
                found = run_plain(recipe, steps, options.tokenizer)
            else:
                found = run_ours(recipe, steps, Path(folder))
            found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps(found))
            return
        from clew.training.launch import prepare

        prepare(recipe).keep(Path(folder))
        results: dict[str, list[dict[str, float]]] = {"plain": [], "ours": []}
        for turn in range(turns):
            for side in results:
                command = [sys.executable, __file__, "--side", side, "--data-dir", data_dir, "--recipe", options.recipe]
                command += ["--steps", str(steps), "--tokenizer", f"{folder}/tokenizer.json"]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                results[side].append(json.loads(output.splitlines()[-1]))
                print(f"turn {turn + 1} {side}: {results[side][-1]}", file=sys.stderr)
    ratios = [
        ours["useful_tokens_per_second"] / plain["useful_tokens_per_second"]
        for ours, plain in zip(results["ours"], results["plain"], strict=True)
    ]

    def median(side: str, key: str) -> float:
        return statistics.median(result[key] for result in results[side])

    emit(
        "train_speed",
        {
            "useful_tokens_ratio": figure(statistics.median(ratios), "times the plain loop", target=3.0),
            "useful_tokens_per_second": figure(median("ours", "useful_tokens_per_second"), "tokens/s"),
            "plain_useful_tokens_per_second": figure(median("plain", "useful_tokens_per_second"), "tokens/s"),
            "seconds_per_step": figure(median("ours", "seconds_per_step"), "s", better="lower"),
            "plain_seconds_per_step": figure(median("plain", "seconds_per_step"), "s", better="lower"),
            "peak_memory_ratio": figure(
                median("ours", "peak_mib") / median("plain", "peak_mib"), "times the plain loop", better="lower"
            ),
            "peak_memory": figure(median("ours", "peak_mib"), "MiB", better="lower"),
        },
    )


if __name__ == "__main__":
    main()
