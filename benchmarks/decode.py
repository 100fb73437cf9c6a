"""How fast a bundle writes lines: against transformers, against a traced graph, against no cache; and how soon.

Everything runs on one CPU thread with the same random weights of the reference model (256 wide, 6 layers, 8 heads,
vocabulary 4,096), a prompt of 128 tokens, 10 rows of 24 tokens: what a prover asks for at each step of a search.

    python benchmarks/decode.py [--full]
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from common import emit, figure, median_seconds, say
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from clew.bundle.decode import greedy, sample_lines
from clew.bundle.load import Bundle, load_bundle
from clew.bundle.pieces import byte_alphabet
from clew.bundle.sampling import Sampling
from clew.bundle.session import open_session
from clew.export.huggingface import publish_huggingface
from clew.export.publish import publish_onnx
from clew.export.source import Source
from clew.models.gpt import GPT, GPTConfig
from clew.runs.checkpoints import read_state
from clew.training.checkpoint import save_checkpoint

REFERENCE = GPTConfig(vocab_size=4096, context_length=256, d_model=256, n_layers=6, n_heads=8, d_mlp=704)
PROMPT_TOKENS, ROWS, LINE_TOKENS = 128, 10, 24


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="more repeats, and the traced graph")
    full = parser.parse_args().full
    repeats = 9 if full else 3
    torch.set_num_threads(1)
    model = GPT(REFERENCE)
    model.initialise(torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        _measure(model.eval(), Path(folder), repeats, full)


def _measure(model: GPT, folder: Path, repeats: int, full: bool) -> None:
    source = _source(model, folder)
    figures: dict[str, Any] = {}
    say("exporting")
    export_seconds = median_seconds(lambda: publish_onnx(source, folder / "bundle"), repeats=1, warm_up=0)
    figures["export_and_verify_seconds"] = figure(export_seconds, "s", better="lower")
    publish_huggingface(source, folder / "llama")
    bundle = load_bundle(folder / "bundle")
    prompt = [int(token) for token in np.random.default_rng(0).integers(0, 256, PROMPT_TOKENS)]

    say("decoding")
    ours = median_seconds(lambda: greedy(bundle, prompt, LINE_TOKENS), repeats=repeats) / LINE_TOKENS
    figures["greedy_ms_per_token"] = figure(1e3 * ours, "ms", better="lower")
    uncached = median_seconds(lambda: _uncached_greedy(bundle, prompt), repeats=repeats) / LINE_TOKENS
    figures["greedy_without_cache_ms_per_token"] = figure(1e3 * uncached, "ms", better="lower")
    theirs = _transformers(folder / "llama", prompt)
    peer = median_seconds(lambda: theirs(1, sample=False), repeats=repeats) / LINE_TOKENS
    figures["transformers_greedy_ms_per_token"] = figure(1e3 * peer, "ms", better="lower")
    figures["greedy_speedup_over_transformers"] = figure(peer / ours, "x")

    # No newline is likely enough to end a row early in random weights, so both write all tokens of all rows.
    text = bundle.tokenizer.decode(prompt)
    sampling = Sampling(max_tokens=LINE_TOKENS)
    rows = median_seconds(lambda: sample_lines(bundle, text, ROWS, sampling), repeats=repeats)
    figures["ten_lines_ms"] = figure(1e3 * rows, "ms", better="lower")
    peer_rows = median_seconds(lambda: theirs(ROWS, sample=True), repeats=repeats)
    figures["transformers_ten_lines_ms"] = figure(1e3 * peer_rows, "ms", better="lower")
    figures["ten_lines_speedup_over_transformers"] = figure(peer_rows / rows, "x")
    if full:
        say("tracing the same model with torch.onnx")
        traced = _traced_ms(model, folder / "traced.onnx", prompt)
        figures["one_step_ms"] = figure(_step_ms(folder / "bundle" / "model.onnx", prompt), "ms", better="lower")
        figures["traced_graph_one_step_ms"] = figure(traced, "ms", better="lower")

    # A line of a trained model ends after some 20 tokens; random weights never end one, so it is cut there.
    say("starting commands")
    command = [str(Path(sys.executable).with_name("clew"))]
    (folder / "prompt.txt").write_text("@G\na = b\n@C\na != b\n@P\n")
    suggest = [*command, "suggest", str(folder / "bundle"), "--prompt", str(folder / "prompt.txt")]
    suggest += ["--max-tokens", str(LINE_TOKENS)]
    for name, arguments, target in (("help", [*command, "--help"], 0.3), ("suggest", suggest, 1.0)):
        seconds = median_seconds(functools.partial(_first_line, arguments), repeats=max(5, repeats))
        figures[f"{name}_seconds"] = figure(seconds, "s", target=target, better="lower")
    emit("decode", figures)


def _source(model: GPT, folder: Path) -> Source:
    alphabet = byte_alphabet()
    vocabulary = alphabet | {f"token{index}": index for index in range(len(alphabet), REFERENCE.vocab_size)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    state = {"model": {"family": "gpt", **asdict(model.config)}}
    checkpoints = folder / "checkpoints"
    path = save_checkpoint(checkpoints, step=0, model=model.state_dict(), optimizer={}, state=state, best=True, keep=1)
    tokenizer.save(str(path / "tokenizer.json"))
    return Source("reference", path, read_state(path))


def _uncached_greedy(bundle: Bundle, prompt: list[int]) -> list[int]:
    tokens = list(prompt)
    for _ in range(LINE_TOKENS):
        logits, _ = bundle.run(np.array([tokens], np.int64), bundle.empty_cache())
        tokens.append(int(logits[0, -1].argmax()))
    return tokens


def _transformers(folder: Path, prompt: list[int]) -> Any:
    import transformers

    model = transformers.LlamaForCausalLM.from_pretrained(folder).eval()
    ids = torch.tensor([prompt])

    def generate(rows: int, *, sample: bool) -> Any:
        with torch.inference_mode():
            return model.generate(
                ids,
                max_new_tokens=LINE_TOKENS,
                min_new_tokens=LINE_TOKENS,
                do_sample=sample,
                temperature=0.8 if sample else None,
                top_k=0 if sample else None,
                num_return_sequences=rows,
                pad_token_id=0,
            )

    return generate


def _traced_ms(model: GPT, path: Path, prompt: list[int]) -> float:
    layers = range(REFERENCE.n_layers)

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, *flat: Any) -> Any:
            logits, present = self.model.forward_cached(input_ids, list(zip(flat[::2], flat[1::2], strict=True)))
            return (logits, *[part for cache in present for part in cache])

    batch, seq, past = (torch.export.Dim(name) for name in ("batch", "seq", "past"))
    cache = [torch.randn(2, REFERENCE.n_heads, 5, REFERENCE.head_dim) for _ in layers for _ in "kv"]
    names = [f"{layer}.{part}" for layer in layers for part in ("key", "value")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Flat().eval(),
            (torch.zeros(2, 3, dtype=torch.long), *cache),
            str(path),
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=["input_ids", *(f"past_key_values.{name}" for name in names)],
            output_names=["logits", *(f"present_key_values.{name}" for name in names)],
            dynamic_shapes=({0: batch, 1: seq}, tuple({0: batch, 2: past} for _ in cache)),
        )
    return _step_ms(path, prompt)


def _step_ms(path: Path, prompt: list[int]) -> float:
    """Milliseconds of one token of one row after the prompt."""
    session = open_session(path)
    shape = (1, REFERENCE.n_heads, len(prompt), REFERENCE.head_dim)
    random = np.random.default_rng(0)
    feed = {
        each.name: np.array([[1]]) if each.name == "input_ids" else random.standard_normal(shape).astype(np.float32)
        for each in session.get_inputs()
    }
    return 1e3 * median_seconds(lambda: session.run(None, feed), repeats=50, warm_up=5)


def _first_line(arguments: list[str]) -> None:
    """Start a command and wait for its first line."""
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise SystemExit(f"{' '.join(arguments)} printed nothing.")
        process.kill()


if __name__ == "__main__":
    main()
