"""How many pairs a second `clew train preference` learns from, beside TRL's DPOTrainer, and what it is for.

The same model (our base's sizes, as a Llama for TRL), the same pairs of the arithmetic checker, CPU, float32, AdamW,
the same threads; both take the reference's log-probabilities from before the first step. Before that both compute loss,
rewards and gradients of one batch, for each loss that both have: dpo, robust, ipo, and dpo with label smoothing, which
TRL calls aot where a batch is one pair; and, of one pair too, dpo with the chosen answer's likelihood (its sigmoid +
sft, which of more pairs is a mean over all tokens where ours is one of the pairs' means).

Then what it is for: a small GPT imitates demonstrations of sums that are right, of which half say their last step
twice. It answers questions, several times each, and the checker, which finds fault with a wrong step and with one too
many, makes pairs of the answers; dpo trains on these. The share of faultless answers to questions that neither training
has seen, before and after, is counted over sampled answers, with 95% intervals over questions.

    python benchmarks/dpo.py [--full] [--only speed|differences|samples]
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
LEVEL = "2-digit"
"""Of the sums that samples answer."""
TUNED = 100
"""Questions that the settings of dpo were chosen on, which are not measured on."""


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


def trainer_of(
    folder: Path,
    kind: str,
    *,
    most: int | None = None,
    numbers: list[int] | None = None,
    policy: Path | None = None,
    **settings: Any,
) -> Any:
    """TRL's trainer of the same weights, or of those of `policy` against them, on the first pairs or those named."""
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
        for pair in (prepared.pairs[index] for index in numbers or prepared.train[:most])
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

    import numpy as np
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
        (["sigmoid"], 0.0, PAIRS),
        (["robust"], 0.1, PAIRS),
        (["ipo"], 0.0, PAIRS),
        (["aot"], 0.1, 1),
        (["sigmoid", "sft"], 0.0, 1),
    ):
        loss = {"sigmoid": "dpo", "aot": "dpo"}.get(theirs[0], theirs[0])
        alpha = 0.5 * (len(theirs) - 1)
        changed = {"loss": loss, "label_smoothing": smoothing, "rpo_alpha": alpha}
        prepared = prepare(recipe_of(folder, 1, "checker", **changed))
        with tempfile.TemporaryDirectory() as run:
            objective = make(prepared, Path(run), cpu)
            objective.reference()
            random = torch.Generator().manual_seed(1)
            with torch.no_grad():
                for parameter in objective.model.parameters():
                    parameter.add_(torch.randn(parameter.shape, generator=random), alpha=0.01)
            weights = {name: each.clone() for name, each in llama_weights(objective.model).items()}
            safetensors.torch.save_file(weights, policy / "model.safetensors", {"format": "pt"})
            numbers = numbers_of(prepared, count)
            batch = objective.to_device(np.asarray(numbers, np.int64))
            scores = objective.scores(batch)
            ours = objective.loss(batch)
            ours.total.backward()
        settings = {
            "loss_type": theirs,
            "label_smoothing": smoothing,
            "per_device_train_batch_size": count,
            "loss_weights": [1.0, alpha][: len(theirs)],
        }
        trainer = trainer_of(folder, "checker", numbers=numbers, policy=policy, **settings)
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
        say(f"{' + '.join(theirs)}: loss {ours.total.item():.4f}, differences {found}")
        worst = {name: max(value, found[name]) for name, value in worst.items()}
    return worst


def numbers_of(prepared: Any, count: int) -> list[int]:
    """Numbers of the first pairs to train on; a single one is the shortest of a step's.

    TRL adds up the log-probabilities of an answer in float32: near -850, as of 170 drawn tokens, the next number is
    6e-5 away, and nothing averages it out of one pair.
    """

    def length(number: int) -> int:
        return sum(len(sequence.tokens) for sequence in prepared.encoded[number])

    return list(prepared.train[:count]) if count > 1 else [min(prepared.train[:PAIRS], key=length)]


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


def interval(name: str, values: list[float], target: float | None = None) -> dict[str, Any]:
    """The mean of what each question gave, with its 95% interval over questions; `target` is for the lower end."""
    from clew.core.intervals import mean_interval

    low, high = mean_interval(values)
    return {
        name: figure(statistics.mean(values), "share"),
        f"{name}_low": figure(low, "share", target=target),
        f"{name}_high": figure(high, "share"),
    }


def write_demonstrations(path: Path, count: int) -> None:
    """Right solutions of two-digit sums, of which every other one, as drawn, says its last step twice."""
    from clew.core.randomness import generator
    from clew.traces.generators import find_generator

    lines = []
    for number, trace in enumerate(find_generator("arithmetic").traces(count, 0, LEVEL)):
        document = trace.model_dump(mode="json")
        if generator(0, "long-winded", number).random() < 0.5:
            last = document["steps"][-1]
            document["steps"].append(last | {"i": last["i"] + 1})
        lines.append(json.dumps(document) + "\n")
    path.write_text("".join(lines))


def samples(*, full: bool) -> dict[str, Any]:
    """The share of sampled answers to held-out questions that the checker finds no fault in, before dpo and after."""
    from clew.bundle.sampling import Sampling
    from clew.export.chat_models import open_chat_model
    from clew.recipes.chat import ChatRecipe
    from clew.recipes.preference import PreferenceRecipe
    from clew.traces.generators import find_generator
    from clew.traces.judges import answer_of
    from clew.traces.preferences.checker import ask, judge_of, make_questions, pairs_of_answers
    from clew.traces.preferences.pairs import write_pairs
    from clew.training import launch

    source, judge = find_generator("arithmetic"), judge_of("arithmetic")
    sampling = Sampling(temperature=1.0, max_tokens=110, seed=0)
    plan = {
        "precision": "float32", "compile": "no", "threads": 1, "evaluate_every": 10**9, "checkpoint_every": 10**9,
        "log_every": 50,
    }  # fmt: skip
    count, steps, asked, attempts, measured = (6_000, 1_200, 800, 8, 400) if full else (3_000, 450, 200, 6, 150)

    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        os.environ["CLEW_CACHE"] = str(room / "cache")
        write_demonstrations(room / "traces.jsonl", count)
        imitation = {
            "model": {"base_model": str(write_small(room / "drawn")), "max_length": LENGTH},
            "data": {"path": str(room / "traces.jsonl"), "validation_fraction": 0.02},
            "training": {
                **plan, "max_steps": steps, "batch_size": 8, "optimizer": "muon", "learning_rate": 2e-3,
                "warmup_steps": 10, "schedule": "trapezoid", "weight_decay": 0.1,
            },
        }  # fmt: skip
        start, _ = launch.train(ChatRecipe.model_validate(imitation), room / "runs", say=say, shows=False)
        answered = ask(
            open_chat_model(str(start.folder)), make_questions("arithmetic", asked, 1, LEVEL), sampling, attempts
        )
        pairs = pairs_of_answers(answered, judge, 0, most=2)
        write_pairs(room / "pairs.jsonl", pairs)

        def trained(alpha: float) -> Path:
            preference = {
                "beta": 1.0,
                "rpo_alpha": alpha,
                "model": {"base_model": str(start.folder), "max_length": LENGTH},
                "data": {"path": str(room / "pairs.jsonl")},
                "training": {**plan, "max_epochs": 2.0, "batch_size": 16, "learning_rate": 3e-4, "warmup_steps": 5},
            }
            run, _ = launch.train(PreferenceRecipe.model_validate(preference), room / "runs", say=say, shows=False)
            return run.folder

        held_out = list(source.questions(TUNED + measured, 2, LEVEL, "evaluation"))[TUNED:]

        def shares(folder: Path) -> tuple[list[float], float]:
            """Of each question, the share of answers without a fault; and of all, that of right results."""
            # Answers that were cut are wrong.
            every = list(ask(open_chat_model(str(folder)), held_out, sampling, 4))
            right = [
                source.check_answer(each.question.prompt, answer_of(text) or "")
                for each in every
                for text in each.answers
            ]
            return (
                [sum(judge.judge(each.question, text) for text in each.answers) / 4 for each in every],
                sum(right) / (4 * len(every)),
            )

        before, right_before = shares(start.folder)
        after, right_after = shares(trained(5.0))
        figures = {
            **interval("preferred_before", before),
            **interval("preferred_after", after),
            **interval("preferred_rise", [b - a for a, b in zip(before, after, strict=True)], target=0.0),
            "right_before": figure(right_before, "share"),
            "right_after": figure(right_after, "share"),
            "pairs_trained_on": figure(len(pairs), "pairs"),
        }
        if full:
            alone, right_alone = shares(trained(0.0))
            figures |= {
                **interval("preferred_after_margin_alone", alone),
                "right_after_margin_alone": figure(right_alone, "share"),
            }
    return figures


def main() -> None:
    """Measure in turns and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--full", action="store_true", help="five turns of 24 steps in place of two of 6, longer samples"
    )
    parser.add_argument("--only", choices=("speed", "differences", "samples"))
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
        figures |= speed(steps, 0 if options.only == "differences" else turns)
    if options.only in (None, "samples"):
        figures |= samples(full=options.full)
    emit("dpo", figures)


def speed(steps: int, turns: int) -> dict[str, Any]:
    """Differences, then both sides in so many turns."""
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
    figures = {
        "max_loss_difference": figure(max(difference.values()), "", target=1e-5, better="lower"),
        **{f"max_{name}_difference_alone": figure(value, "") for name, value in difference.items()},
    }
    if not turns:
        return figures
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
        **figures,
    }


if __name__ == "__main__":
    main()
