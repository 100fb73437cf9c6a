"""How many of the assistant's tokens a second `clew train sft` learns from, beside TRL's SFTTrainer, in one run.

The same model (our base's sizes, as a Llama for TRL; or with --vocab-size a larger vocabulary), the same traces, CPU,
float32, AdamW, the same threads. Packing is on in both, and keeps conversations apart in both: TRL's best fit, whose
rows become one row with borders by position. Two more ways of TRL stand beside it, without a target: a padded batch of
single conversations, and rows cut from one long text (`wrapped`), where conversations see each other and are cut.
Before that both compute the loss and the gradients of one batch of the same conversations.

    python benchmarks/sft.py [--full] [--vocab-size 258]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import emit, figure, say

LENGTH, ROWS = 256, 16
SIDES = ("ours", "trl_packed", "trl_padded", "trl_wrapped")
WARM = 3
"""Steps before the clock starts."""


def write_evidence(folder: Path, count: int) -> Path:
    """Traces of arithmetic, as the generator makes them."""
    from clew.traces.generators import find_generator

    path = folder / "traces.jsonl"
    traces = find_generator("arithmetic").traces(count, 0)
    path.write_text("".join(each.model_dump_json() + "\n" for each in traces))
    return path


def write_model(folder: Path, vocab_size: int) -> None:
    """A checkpoint of ours with drawn weights, and the same weights as a Hugging Face folder."""
    from dataclasses import asdict

    import torch
    from tokenizers import AddedToken, Tokenizer

    from clew.bundle.chat import find_template
    from clew.export.huggingface import publish_huggingface
    from clew.export.source import Source
    from clew.models.gpt import GPT, GPTConfig
    from clew.proofs.tokenizers import turns_tokenizer
    from clew.runs.checkpoints import read_state
    from clew.training.checkpoint import save_checkpoint

    tokenizer = Tokenizer.from_str(turns_tokenizer().text)
    tokenizer.add_tokens([AddedToken(f"<word {number}>") for number in range(vocab_size - 258)])
    sizes = {"context_length": LENGTH, "d_model": 128, "n_layers": 4, "n_heads": 4, "d_mlp": 352}
    model = GPT(GPTConfig(vocab_size=vocab_size, **sizes))
    model.initialise(torch.Generator().manual_seed(0))
    state = {"model": {"family": "gpt", **asdict(model.config)}}
    path = save_checkpoint(
        folder / "checkpoints", step=0, model=model.state_dict(), optimizer={}, state=state, best=True, keep=1
    )
    tokenizer.save(str(path / "tokenizer.json"))
    publish_huggingface(Source("bench", path, read_state(path)), folder / "llama", template=find_template("turns"))


def recipe_of(folder: Path, steps: int) -> Any:
    """The recipe of our side."""
    from clew.recipes.chat import ChatRecipe

    training = {
        "max_steps": WARM + steps, "batch_size": ROWS, "learning_rate": 1e-4, "precision": "float32", "log_every": 1,
        "evaluate_every": 10**9, "checkpoint_every": 10**9, "compile": "no",
    }  # fmt: skip
    return ChatRecipe.model_validate(
        {
            "training": training,
            "model": {"base_model": str(folder / "checkpoints" / "step_00000000"), "max_length": LENGTH},
            "data": {"path": str(folder / "traces.jsonl"), "validation_fraction": 0.01},
        }
    )


def run_ours(folder: Path, steps: int) -> dict[str, float]:
    """Time the real command's loop."""
    from clew.training import launch

    with tempfile.TemporaryDirectory() as runs:
        run, _ = launch.train(recipe_of(folder, steps), Path(runs), say=lambda text: None, shows=False)
        timing = [json.loads(line) for line in (run.folder / "timing.jsonl").read_text().splitlines()]
    rates = [row["tokens_per_second"] for row in timing[WARM:]]
    return {"assistant_tokens_per_second": statistics.harmonic_mean(rates)}


def messages_of(folder: Path) -> list[list[dict[str, str]]]:
    """The conversations of the training traces."""
    from clew.bundle.chat import conversation_of
    from clew.traces.evidence import prepare
    from clew.traces.renderings import answer_text

    prepared = prepare(recipe_of(folder, 1))
    rows = [prepared.rows[index] for index in prepared.train]
    return [conversation_of(row.prompt, "", answer_text(row.steps, row.answer)) for row in rows]


def trainer_of(folder: Path, messages: Any, **settings: Any) -> Any:
    """TRL's trainer of the same weights."""
    import datasets
    import transformers
    from trl import SFTConfig, SFTTrainer

    transformers.utils.logging.set_verbosity_error()
    plan = {
        "output_dir": str(folder / "trl"), "assistant_only_loss": True, "use_cpu": True, "bf16": False,
        "report_to": [], "gradient_checkpointing": False, "learning_rate": 1e-4, "save_strategy": "no",
        "logging_steps": 10**6, "disable_tqdm": True, "optim": "adamw_torch", "max_length": LENGTH,
    }  # fmt: skip
    return SFTTrainer(
        model=transformers.AutoModelForCausalLM.from_pretrained(folder / "llama", dtype="float32"),
        args=SFTConfig(**(plan | settings)),
        train_dataset=datasets.Dataset.from_list([{"messages": each} for each in messages]),
        processing_class=transformers.AutoTokenizer.from_pretrained(folder / "llama"),
    )


def run_trl(folder: Path, steps: int, *, strategy: str) -> dict[str, float]:
    """Time TRL's own training loop between its steps, and count what its batches teach."""
    import transformers

    # Single conversations of 113 tokens on average: twice as many rows hold as many tokens.
    packing = {"packing": True, "packing_strategy": strategy} if strategy else {"packing": False}
    rows = ROWS if strategy else 2 * ROWS
    trainer = trainer_of(
        folder, messages_of(folder), per_device_train_batch_size=rows, max_steps=WARM + steps, **packing
    )
    learnt: list[int] = []
    ends: list[float] = []
    plain = trainer.compute_loss

    def counting(model: Any, inputs: Any, *arguments: Any, **settings: Any) -> Any:
        learnt.append(int((inputs["labels"] != -100).sum()))
        return plain(model, inputs, *arguments, **settings)

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    trainer.compute_loss = counting
    trainer.add_callback(Clock())
    trainer.train()
    return {"assistant_tokens_per_second": sum(learnt[WARM:]) / (ends[-1] - ends[WARM - 1])}


def differences(folder: Path) -> dict[str, float]:
    """Loss and gradients of one batch, ours against TRL's."""
    from dataclasses import replace

    import torch

    from clew.export.huggingface import llama_weights
    from clew.models.gpt import GPT
    from clew.objectives.chat import make
    from clew.traces.evidence import prepare
    from clew.training.devices import Placement

    prepared = prepare(recipe_of(folder, 1))
    chosen = list(prepared.train[:32])
    prepared = replace(prepared, train=chosen)
    objective = make(prepared, folder, Placement(device=torch.device("cpu"), dtype=torch.float32))
    ours = objective.loss(objective.to_device(prepared.stream().all_rows()))
    ours.total.backward()
    trainer = trainer_of(folder, messages_of(folder)[:32], packing=False, per_device_train_batch_size=32)
    inputs = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(trainer.model, inputs)
    theirs.backward()
    gradients = GPT(objective.model.config)
    gradients.load_state_dict({name: each.grad for name, each in objective.model.named_parameters()})
    of_trl = dict(trainer.model.named_parameters())
    worst = max(float((each - of_trl[name].grad).abs().max()) for name, each in llama_weights(gradients).items())
    return {"loss": abs(float(ours.total) - float(theirs)), "gradient": worst}


def main() -> None:
    """Measure in turns and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="three turns of 24 steps in place of one of 8")
    parser.add_argument("--vocab-size", type=int, default=258)
    parser.add_argument("--side", choices=[*SIDES, "differences"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    steps, turns = options.steps or (24 if options.full else 8), 3 if options.full else 1
    if options.side:
        found = {
            "ours": lambda: run_ours(options.folder, steps),
            "trl_packed": lambda: run_trl(options.folder, steps, strategy="bfd"),
            "trl_padded": lambda: run_trl(options.folder, steps, strategy=""),
            "trl_wrapped": lambda: run_trl(options.folder, steps, strategy="wrapped"),
            "differences": lambda: differences(options.folder),
        }[options.side]()
        print(json.dumps({**found, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    results: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as room:
        write_evidence(Path(room), 4_000)
        write_model(Path(room), options.vocab_size)

        def ask(side: str) -> dict[str, float]:
            command = [sys.executable, __file__, "--side", side, "--folder", room, "--steps", str(steps)]
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
            found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
            say(f"{side}: {found}")
            return found

        difference = ask("differences")
        for _ in range(turns):
            for side in SIDES:
                results[side].append(ask(side)["assistant_tokens_per_second"])
    packed, padded, wrapped = (
        statistics.median(ours / theirs for ours, theirs in zip(results["ours"], results[side], strict=True))
        for side in SIDES[1:]
    )
    emit(
        "sft",
        {
            "ratio_trl": figure(packed, "times", target=2.0),
            "ratio_trl_padded": figure(padded, "times"),
            "ratio_trl_wrapped": figure(wrapped, "times"),
            "assistant_tokens_per_second": figure(statistics.median(results["ours"]), "tokens/s"),
            "max_loss_difference": figure(difference["loss"], "nats", target=1e-5, better="lower"),
            "max_gradient_difference": figure(difference["gradient"], "", target=1e-5, better="lower"),
        },
    )


if __name__ == "__main__":
    main()
