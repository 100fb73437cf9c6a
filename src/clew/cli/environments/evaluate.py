"""`clew evaluate ppo`: episodes of a policy in its environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pydantic

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE


class EvaluatePolicyOptions(Options):
    """Play a policy in the environment that it was trained in: mean return with its interval."""

    bundle: Positional[Path]
    """Folder of an export."""
    episodes: int = pydantic.Field(default=100, ge=1, le=1_000_000)
    """Episodes to play."""
    seed: int = 0
    """Each episode begins with a seed that is a function of this number and its place."""
    threads: int = pydantic.Field(default=1, ge=0)
    """CPU threads of the net; 0: all cores."""
    record: Path | None = None
    """File (.jsonl) to write the trajectories of as many episodes into, whose actions are drawn as the policy has them,
    with their log-probabilities: `clew train ppo --data.path FILE` learns from them."""
    as_json: Json = False
    """Print the report as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew evaluate ppo`."""
    options = parse(EvaluatePolicyOptions, arguments, program="clew evaluate ppo")
    from clew.environments.evaluation import evaluate, record

    if options.record is not None:
        steps = record(
            options.bundle, options.record, episodes=options.episodes, seed=options.seed, threads=options.threads
        )
        print(f"{options.record}: {steps:,} steps of {options.episodes} episodes", file=sys.stderr)
    report = evaluate(options.bundle, episodes=options.episodes, seed=options.seed, threads=options.threads)
    if options.as_json:
        print_json(report)
    else:
        print(
            f"{report['environment']}: mean return {report['mean_return']:.2f} (95% {report['mean_return_low']:.2f} to "
            f"{report['mean_return_high']:.2f}), mean length {report['mean_length']:.1f}, over {options.episodes} "
            "episodes"
        )
    return EXIT_DONE
