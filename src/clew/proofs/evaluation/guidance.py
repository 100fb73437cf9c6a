"""What a bundle is worth to the prover: the same search and the same budget, with and without the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clew.bundle.decode import Line, LineSession
from clew.bundle.load import Bundle
from clew.bundle.sampling import Sampling
from clew.core.intervals import Ratio, Share, paired_ratio, share
from clew.core.randomness import key
from clew.proofs.checker import Derivation
from clew.proofs.enumeration import Enumeration
from clew.proofs.files import prompt_of
from clew.proofs.search import Line as Proposal
from clew.proofs.search import Proposer, search
from clew.proofs.terms import Equation
from clew.proofs.theorems import Theorem

NO_LIMIT = 10**9
HEATING = 1.15
"""Factor on the temperature at each rollout that led nowhere."""
ROLLOUT_LINES = 40
"""Lines after which a rollout starts over; real proofs have at most 36."""


class SampledLines:
    """Proposes lines that a bundle samples, and lets those that are kept lead on.

    A rollout begins with the theorem and samples `k` lines at a time. Those that were not judged yet are proposed
    together, the oftenest drawn first: judging costs far less than sampling, and each justified line helps the proof.
    The first justified one is appended to the text. Where all are known, the first justified one is appended without
    asking again. Where none is justified, the rollout starts over; what was kept stays in the derivation. Each
    fruitless start raises the temperature, until a line is kept.
    """

    def __init__(self, bundle: Bundle, sampling: Sampling, *, k: int = 8) -> None:
        self._bundle = bundle
        self._sampling = sampling
        self._k = k
        self._drawn: list[Line] = []

    def begin(self, derivation: Derivation) -> None:
        """Start on a theorem."""
        theorem = derivation.theorem
        self._seed = key(self._sampling.seed, "search", theorem.name)
        self._beginning = LineSession(self._bundle, prompt_of(theorem.to_proof()), self._sampling)
        self._justified: dict[str, bool] = {}
        self._rollouts = 0
        self._heat = 1.0
        self._start_over()

    def propose(self) -> Sequence[Proposal]:
        """Lines that were not judged before, the oftenest drawn first; none where sampling brought nothing new."""
        candidates = self._sample()
        new = [text for text in candidates if text not in self._justified]
        if not new and (known := next((text for text in candidates if self._justified[text]), None)) is not None:
            self._append(known)
        return new

    def accepted(self, line: Proposal, equation: Equation) -> None:
        """Go on from the line."""
        self._heat = 1.0
        self._justified[str(line)] = True
        if not self._advanced:
            self._append(str(line))

    def rejected(self, line: Proposal, reason: str) -> None:
        """Remember not to ask again."""
        self._justified[str(line)] = False

    def _append(self, text: str) -> None:
        """Append a line that was drawn, with the tokens that were drawn for it."""
        self._session.accept(next(line for line in self._drawn if line.text == text))
        self._lines.add(text)
        self._advanced = True

    def _sample(self) -> list[str]:
        """Draw lines, the oftenest first; where the last ones led nowhere, at the start of a new rollout."""
        if not self._advanced or len(self._lines) >= ROLLOUT_LINES:
            self._heat *= HEATING
            self._start_over()
        self._advanced = False
        self._drawn = self._session.propose(self._k)
        counts = Counter(line.text for line in self._drawn if line.finished and line.text not in self._lines)
        return [text for text, _ in counts.most_common()]

    def _start_over(self) -> None:
        self._session = self._beginning.fork(
            seed=key(self._seed, "rollout", self._rollouts), temperature=self._sampling.temperature * self._heat
        )
        self._rollouts += 1
        self._lines: set[str] = set()
        self._drawn = []
        self._advanced = True


@dataclass(frozen=True)
class Budget:
    """What a search may spend on one theorem, in two separate trials."""

    proposals: int = 1000
    seconds: float = 1.0

    @property
    def patience(self) -> float:
        """Seconds after which the trial by proposals is given up as well, so that an evaluation ends."""
        return 10 * self.seconds


@dataclass(frozen=True)
class Trial:
    """How one proposer fared with one theorem."""

    theorem: str
    proved_in_proposals: bool
    proved_in_seconds: bool
    proposals: int
    """Lines judged until the proof, or until the budget of proposals (or patience) ended."""
    seconds: float
    out_of_patience: bool

    @property
    def proved(self) -> bool:
        """Whether either trial found a proof; `proposals` is then what it took."""
        return self.proved_in_seconds or self.proved_in_proposals


@dataclass(frozen=True)
class Guidance:
    """The comparison of enumeration with a model on the same theorems."""

    budget: Budget
    theorems: int
    equal_proposals: dict[str, Share]
    """Share proved within the proposals: "enumeration" and "model"."""
    equal_seconds: dict[str, Share]
    """Share proved within the seconds."""
    gain: Ratio | None
    """Proposals until proof, enumeration over model, on the theorems that both prove, in whichever trial."""
    out_of_patience: dict[str, int]
    """Trials by proposals that the clock ended; they count as not proved."""
    trials: dict[str, list[Trial]]


def try_theorem(theorem: Theorem, proposer: Proposer, budget: Budget) -> Trial:
    """Search within the seconds first, and then, if proposals are left, within the proposals."""
    found = search(theorem, proposer, max_proposals=NO_LIMIT, max_seconds=budget.seconds)
    # One round of a proposer may end long after the time is up: what it proves then is too late.
    in_seconds = found.proved and found.seconds <= budget.seconds
    if not found.proved and found.proposals < budget.proposals:
        found = search(theorem, proposer, max_proposals=budget.proposals, max_seconds=budget.patience)
    in_proposals = found.proved and found.proposals <= budget.proposals
    impatient = not found.proved and found.proposals < budget.proposals and found.seconds >= budget.patience
    return Trial(theorem.name, in_proposals, in_seconds, found.proposals, found.seconds, impatient)


def compare(
    bundle: Bundle,
    theorems: Sequence[Theorem],
    budget: Budget,
    sampling: Sampling,
    *,
    tick: Callable[[], None] = lambda: None,
) -> Guidance:
    """Prove each theorem by enumeration and by the model's lines; `tick` is called after each theorem."""
    trials: dict[str, list[Trial]] = {"enumeration": [], "model": []}
    for theorem in theorems:
        trials["enumeration"].append(try_theorem(theorem, Enumeration(), budget))
        trials["model"].append(try_theorem(theorem, SampledLines(bundle, sampling), budget))
        tick()
    both = [
        (blind.proposals, guided.proposals)
        for blind, guided in zip(trials["enumeration"], trials["model"], strict=True)
        if blind.proved and guided.proved
    ]
    pairs = np.array(both, np.float64).reshape(-1, 2)
    cases = len(theorems)
    return Guidance(
        budget=budget,
        theorems=cases,
        equal_proposals={
            name: share(sum(trial.proved_in_proposals for trial in each), cases) for name, each in trials.items()
        },
        equal_seconds={
            name: share(sum(trial.proved_in_seconds for trial in each), cases) for name, each in trials.items()
        },
        gain=paired_ratio(pairs[:, 0], pairs[:, 1]),
        out_of_patience={name: sum(trial.out_of_patience for trial in each) for name, each in trials.items()},
        trials=trials,
    )
