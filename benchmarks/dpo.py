"""How many pairs a second `clew train preference` learns from, beside TRL's DPOTrainer, and what it is for.

The same model (our base's sizes, as a Llama for TRL), the same pairs of the arithmetic checker, CPU, float32, AdamW,
the same threads; both take the reference's log-probabilities from before the first step. Before that both compute loss,
rewards and gradients of one batch, for each loss that both have: dpo, robust, ipo, and dpo with label smoothing, which
TRL calls aot where a batch is one pair.

Then what it is for: a small GPT learns arithmetic for a short while, answers questions that it has not learnt, the
checker makes pairs of its right and wrong answers, and dpo trains on these. The share of right answers to other
questions, before and after, is counted over sampled answers.

    python benchmarks/dpo.py [--full] [--only speed|samples]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import emit, figure, say
from sft import write_model

PAIRS = 16
"""In a step."""
SIDES = ("ours", "trl")
KINDS = ("checker", "apart")
WARM = 3
"""Steps before the clock starts."""
LENGTH = 256


def write_evidence(folder: Path, count: int) -> None:
    """Pairs of the checker, whose answers begin alike; and pairs of two questions' answers, which share the prompt."""
    from dataclasses import replace

    from clew.traces.preferences.checker import make_pairs
    from clew.traces.preferences.pairs import write_pairs

    made = make_pairs("arithmetic", count, 0)
    write_pairs(folder / "checker.jsonl", made)
    others = [*made[1:], made[0]]
    # Without what every answer begins with: nothing but the prompt is common.
    apart = [replace(one, rejected=f"No. {other.chosen}") for one, other in zip(made, others, strict=True)]
    write_pairs(folder / "apart.jsonl", apart)


def recipe_of(folder: Path, steps: int, kind: str, **changed: Any) -> Any:
    """The recipe of our side."""
    from clew.recipes.preference import PreferenceRecipe

    training = {
        "max_steps": WARM + steps, "batch_size": PAIRS, "learning_rate": 1e-4, "precision": "float32", "log_every": 1,
        "evaluate_every": 10**9, "checkpoint_every": 10**9, "compile": "no",
    }  # fmt: skip
    return PreferenceRecipe.model_validate(
        {
            "training": training,
            "model": {"base_model": str(folder / "checkpoints" / "step_00000000"), "max_length": LENGTH},
            "data": {"path": str(folder / f"{kind}.jsonl"), "validation_fraction": 0.01},
            **changed,
        }
    )


def run_ours(folder: Path, steps: int, kind: str) -> float:
    """Pairs a second of the real command's loop."""
    from clew.training import launch

    with tempfile.TemporaryDirectory() as runs:
        run, _ = launch.train(recipe_of(folder, steps, kind), Path(runs), say=lambda text: None, shows=False)
        timing = [json.loads(line) for line in (run.folder / "timing.jsonl").read_text().splitlines()]
    return statistics.harmonic_mean([row["pairs_per_second"] for row in timing[WARM:]])


def trainer_of(folder: Path, kind: str, *, most: int | None = None, policy: Path | None = None, **settings: Any) -> Any:
    """TRL's trainer of the same weights, or of those of `policy` against them."""
    import datasets
    import transformers
    from trl import DPOConfig, DPOTrainer

    from clew.traces.preferences.evidence import prepare

    transformers.utils.logging.set_verbosity_error()
    prepared = prepare(recipe_of(folder, 1, kind))
    rows = [
        {
            "prompt": [{"role": "user", "content": pair.prompt}],
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
        }
        for pair in (prepared.pairs[index] for index in prepared.train[:most])
    ]
    plan = {
        "output_dir": str(folder / "trl"), "use_cpu": True, "bf16": False, "report_to": [], "learning_rate": 1e-4,
        "gradient_checkpointing": False, "save_strategy": "no", "logging_steps": 10**6, "disable_tqdm": True,
        "optim": "adamw_torch", "max_length": None, "per_device_train_batch_size": PAIRS, "beta": 0.1,
        "dataloader_pin_memory": False,
    }  # fmt: skip

    def load(path: Path) -> Any:
        return transformers.AutoModelForCausalLM.from_pretrained(path, dtype="float32")

    return DPOTrainer(
        model=load(policy or folder / "llama"),
        ref_model=load(folder / "llama") if policy else None,
        args=DPOConfig(**(plan | settings)),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=transformers.AutoTokenizer.from_pretrained(folder / "llama"),
    )


def run_trl(folder: Path, steps: int, kind: str) -> float:
    """Pairs a second of TRL's own training loop, between its steps."""
    import transformers

    trainer = trainer_of(
        folder, kind, max_steps=WARM + steps, precompute_ref_log_probs=True, most=PAIRS * (WARM + steps + 1)
    )
    ends: list[float] = []

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    trainer.add_callback(Clock())
    trainer.train()
    return PAIRS * steps / (ends[-1] - ends[WARM - 1])


def differences(folder: Path) -> dict[str, float]:
    """Loss, rewards and gradients of a batch by ours against TRL's, of a policy that is not its reference."""
    import shutil

    import safetensors.torch
    import torch

    from clew.export.huggingface import llama_weights
    from clew.models.gpt import GPT
    from clew.objectives.preference import make
    from clew.traces.preferences.evidence import prepare
    from clew.training.devices import Placement

    cpu = Placement(device=torch.device("cpu"), dtype=torch.float32)
    policy = folder / "policy"
    shutil.copytree(folder / "llama", policy, dirs_exist_ok=True)
    worst = dict.fromkeys(("loss", "reward", "gradient"), 0.0)
    for theirs, smoothing, count in (
        ("sigmoid", 0.0, PAIRS),
        ("robust", 0.1, PAIRS),
        ("ipo", 0.0, PAIRS),
        ("aot", 0.1, 1),
    ):
        loss = {"sigmoid": "dpo", "aot": "dpo"}.get(theirs, theirs)
        prepared = prepare(recipe_of(folder, 1, "checker", loss=loss, label_smoothing=smoothing))
        with tempfile.TemporaryDirectory() as run:
            objective = make(prepared, Path(run), cpu)
            objective.reference()
            random = torch.Generator().manual_seed(1)
            with torch.no_grad():
                for parameter in objective.model.parameters():
                    parameter.add_(torch.randn(parameter.shape, generator=random), alpha=0.01)
            weights = {name: each.clone() for name, each in llama_weights(objective.model).items()}
            safetensors.torch.save_file(weights, policy / "model.safetensors", {"format": "pt"})
            batch = objective.to_device(prepared_numbers(prepared, count))
            scores = objective.scores(batch)
            ours = objective.loss(batch)
            ours.total.backward()
        settings = {"loss_type": theirs, "label_smoothing": smoothing, "per_device_train_batch_size": count}
        trainer = trainer_of(folder, "checker", most=count, policy=policy, **settings)
        # In the order of the pairs, so that both sides mean the same ones.
        inputs = trainer.data_collator([trainer.train_dataset[index] for index in range(count)])
        of_trl = trainer.compute_loss(trainer.model, inputs)
        of_trl.backward()
        metrics = trainer._metrics["train" if trainer.model.training else "eval"]
        gradients = GPT(objective.model.config)
        gradients.load_state_dict({name: each.grad for name, each in objective.model.named_parameters()})
        named = dict(trainer.model.named_parameters())
        found = {
            "loss": abs(ours.total.item() - of_trl.item()),
            "reward": max(
                abs(float(scores.chosen.mean()) - metrics["rewards/chosen"][-1]),
                abs(float(scores.rejected.mean()) - metrics["rewards/rejected"][-1]),
            ),
            "gradient": max(
                float((each - named[name].grad).abs().max()) for name, each in llama_weights(gradients).items()
            ),
        }
        say(f"{theirs}: loss {ours.total.item():.4f}, differences {found}")
        worst = {name: max(value, found[name]) for name, value in worst.items()}
    return worst


def prepared_numbers(prepared: Any, count: int) -> Any:
    """Numbers of the first pairs to train on."""
    import numpy as np

    return np.asarray(prepared.train[:count], np.int64)


def write_small(folder: Path) -> Path:
    """A checkpoint of a GPT of 150,000 drawn weights, with its tokenizer."""
    from dataclasses import asdict

    import torch

    from clew.models.gpt import GPT, GPTConfig
    from clew.proofs.tokenizers import turns_tokenizer
    from clew.training.checkpoint import save_checkpoint

    model = GPT(GPTConfig(vocab_size=258, context_length=LENGTH, d_model=64, n_layers=3, n_heads=4, d_mlp=128))
    model.initialise(torch.Generator().manual_seed(0))
    state = {"model": {"family": "gpt", **asdict(model.config)}}
    path = save_checkpoint(folder, step=0, model=model.state_dict(), optimizer={}, state=state, best=True, keep=1)
    (path / "tokenizer.json").write_text(turns_tokenizer().text)
    return path


def samples(*, full: bool) -> dict[str, Any]:
    """The share of sampled answers to held-out questions that the checker takes for right, before dpo and after."""
    from clew.bundle.sampling import Sampling
    from clew.core.intervals import mean_interval
    from clew.export.chat_models import open_chat_model
    from clew.recipes.chat import ChatRecipe
    from clew.recipes.preference import PreferenceRecipe
    from clew.traces.generators import find_generator
    from clew.traces.preferences.checker import ask, judge_of, make_questions, pairs_of_answers
    from clew.traces.preferences.pairs import write_pairs
    from clew.training import launch

    level, source, judge = "2-digit", find_generator("arithmetic"), judge_of("arithmetic")
    steps, asked, measured, attempts = (600, 1_000, 400, 8) if full else (450, 400, 80, 4)
    plan = {
        "precision": "float32",
        "compile": "no",
        "evaluate_every": 10**9,
        "checkpoint_every": 10**9,
        "log_every": 50,
    }
    with tempfile.TemporaryDirectory() as room:
        os.environ["CLEW_CACHE"] = str(Path(room) / "cache")
        traces = Path(room) / "traces.jsonl"
        made = source.traces(3_000, 0, level)
        traces.write_text("".join(each.model_dump_json() + "\n" for each in made))
        imitation = ChatRecipe.model_validate(
            {
                "model": {"base_model": str(write_small(Path(room) / "drawn")), "max_length": LENGTH},
                "data": {"path": str(traces), "validation_fraction": 0.02},
                "training": {
                    **plan, "max_steps": steps, "batch_size": 8, "optimizer": "muon", "learning_rate": 3e-3,
                    "warmup_steps": 10, "schedule": "trapezoid", "weight_decay": 0.0,
                },
            }
        )  # fmt: skip
        before, _ = launch.train(imitation, Path(room) / "runs", say=say, shows=False)
        policy = open_chat_model(str(before.folder))
        sampling = Sampling(temperature=1.0, max_tokens=110, seed=0)
        questions = make_questions("arithmetic", asked, 1, level)
        pairs = pairs_of_answers(ask(policy, questions, sampling, 8), judge, 0, most=2)
        write_pairs(Path(room) / "pairs.jsonl", pairs)
        preference = PreferenceRecipe.model_validate(
            {
                "beta": 0.5,
                "model": {"base_model": str(before.folder), "max_length": LENGTH},
                "data": {"path": str(Path(room) / "pairs.jsonl")},
                "training": {**plan, "max_epochs": 2.0, "batch_size": 16, "learning_rate": 1e-4, "warmup_steps": 5},
            }
        )
        after, _ = launch.train(preference, Path(room) / "runs", say=say, shows=False)
        held_out = list(source.questions(measured, 2, level, "evaluation"))
        shares = {}
        for name, run in (("before", before), ("after", after)):
            answered = list(ask(open_chat_model(str(run.folder)), held_out, sampling, attempts))
            # Answers that were cut are wrong.
            shares[name] = [
                sum(judge.judge(each.question, text) for text in each.answers) / attempts for each in answered
            ]
            say(f"{name}: {statistics.mean(shares[name]):.3f}")
    rise = [after - before for before, after in zip(shares["before"], shares["after"], strict=True)]
    low, high = mean_interval(rise)
    return {
        "preferred_before": figure(statistics.mean(shares["before"]), "share"),
        "preferred_after": figure(statistics.mean(shares["after"]), "share"),
        "preferred_rise": figure(statistics.mean(rise), "share"),
        "preferred_rise_low": figure(low, "share", target=0.0),
        "preferred_rise_high": figure(high, "share"),
        "pairs_trained_on": figure(len(pairs), "pairs"),
    }


def main() -> None:
    """Measure in turns and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--full", action="store_true", help="five turns of 24 steps in place of two of 6, longer samples"
    )
    parser.add_argument("--only", choices=("speed", "samples"))
    parser.add_argument("--side", choices=[*SIDES, "differences"], help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    steps, turns = options.steps or (24 if options.full else 6), 5 if options.full else 2
    if options.side:
        if options.side == "differences":
            print(json.dumps(differences(options.folder)))
        else:
            measure = run_ours if options.side == "ours" else run_trl
            print(json.dumps({"pairs_per_second": measure(options.folder, steps, options.kind)}))
        return
    figures: dict[str, Any] = {}
    if options.only != "samples":
        figures |= speed(steps, turns)
    if options.only != "speed":
        figures |= samples(full=options.full)
    emit("dpo", figures)


def speed(steps: int, turns: int) -> dict[str, Any]:
    """Differences, then both sides in turns."""
    results: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as room:
        write_evidence(Path(room), 1_000)
        write_model(Path(room), 258)

        def ask(*arguments: str) -> dict[str, float]:
            command = [sys.executable, __file__, "--folder", room, "--steps", str(steps), *arguments]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ)
            found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
            say(f"{' '.join(arguments)}: {found}")
            return found

        difference = ask("--side", "differences")
        for _ in range(turns):
            for kind in KINDS:
                for side in SIDES:
                    rate = ask("--side", side, "--kind", kind)["pairs_per_second"]
                    results.setdefault((side, kind), []).append(rate)
    ratios = {
        kind: statistics.median(
            ours / theirs for ours, theirs in zip(results["ours", kind], results["trl", kind], strict=True)
        )
        for kind in KINDS
    }
    return {
        "ratio_trl": figure(ratios["checker"], "times", target=2.0),
        "ratio_trl_apart": figure(ratios["apart"], "times"),
        "pairs_per_second": figure(statistics.median(results["ours", "checker"]), "pairs/s"),
        "max_loss_difference": figure(max(difference.values()), "", target=1e-5, better="lower"),
        **{f"max_{name}_difference_alone": figure(value, "") for name, value in difference.items()},
    }


if __name__ == "__main__":
    main()
