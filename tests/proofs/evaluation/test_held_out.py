"""Figures on held-out files, against slow definitions of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from clew.bundle.load import Bundle, load_bundle
from clew.bundle.sampling import Sampling
from clew.core.errors import BundleError, EvidenceError
from clew.core.intervals import paired_ratio, share
from clew.proofs.evaluation.bits import bits_per_byte as bits_of
from clew.proofs.evaluation.bits import code_bits
from clew.proofs.evaluation.held_out import bits_per_byte, next_lines
from clew.proofs.files import Proof
from conftest import random_gpt


@pytest.fixture(scope="module")
def bundle(published: Path) -> Bundle:
    return load_bundle(published)


def slow_bits(text: str, context: int) -> float:
    """Token by token: as much history as its window has, never more than the context, never less than half of it."""
    model, tokens, bits = random_gpt(), list(text.encode()), 8.0
    for target in range(1, len(tokens)):
        # Windows overlap by half a context; the first one counts a whole context of targets.
        start = 0 if target <= context else math.ceil((target - context) / (context // 2)) * (context // 2)
        with torch.inference_mode():
            logits = model(torch.tensor([tokens[start:target]]))[0, -1].double()
        bits -= float(torch.log_softmax(logits, -1)[tokens[target]]) / math.log(2)
    return bits


def test_bits_per_byte_is_the_sum_over_all_tokens_of_all_files(bundle):
    texts = ["@G\na = b\n", "x", "@T\ntheorem " * 13, "≥" * 24, "a" * 49, "a + b" * 20]
    result = bits_per_byte(bundle, texts)
    assert (result.bytes, result.files) == (sum(len(text.encode()) for text in texts), 6)
    assert result.tokens == result.bytes
    assert result.bits == pytest.approx(sum(slow_bits(text, 48) for text in texts), rel=1e-5)
    assert result.value == result.bits / result.bytes


def test_nothing_to_measure_is_said(bundle):
    with pytest.raises(EvidenceError, match="no text"):
        bits_per_byte(bundle, [])


class Parrot:
    """A bundle that answers the byte that its table gives to the last one."""

    def __init__(self, bundle: Bundle, follows: dict[int, int]) -> None:
        self.bundle, self.follows = bundle, follows

    def __getattr__(self, name):
        return getattr(self.bundle, name)

    def run(self, ids, past):
        logits = np.full((*ids.shape, 256), -50.0, np.float32)
        for place in np.ndindex(ids.shape):
            logits[(*place, self.follows.get(int(ids[place]), 10))] = 50.0
        return logits, past


def proof(*steps: str) -> Proof:
    return Proof(context=None, goal="a = b", premise=None, counterfactual="a != b", steps=steps)


def test_a_line_counts_where_it_stands_in_the_proof_whole(bundle):
    writes_ab = Parrot(bundle, {ord("\n"): ord("a"), ord("a"): ord("b")})
    cases = [proof("c", "ab"), proof("ab"), proof("abc"), proof(" ab"), proof(), proof("b")]
    named = [(f"proof_{index:05d}.txt", each) for index, each in enumerate(cases)]
    result = next_lines(writes_ab, named, Sampling(max_tokens=10))
    assert (result.goals, result.without_proof) == (5, 1)
    assert {k: (each.successes, each.cases) for k, each in result.found.items()} == {1: (2, 5), 8: (2, 5)}


def test_a_line_that_did_not_end_does_not_count(bundle):
    writes_on = Parrot(bundle, {ord("\n"): ord("a"), ord("a"): ord("a")})
    assert next_lines(writes_on, [("p", proof("a" * 10))], Sampling(max_tokens=10)).found[8].successes == 0


def test_more_samples_never_find_fewer(bundle):
    named = [(f"proof_{index}", proof(*map(chr, range(33, 127)))) for index in range(40)]
    result = next_lines(bundle, named, Sampling(max_tokens=3, seed=1))
    again = next_lines(bundle, named[::-1], Sampling(max_tokens=3, seed=1))
    assert result.found == again.found, "the order of the files does not matter"
    assert result.found[1].successes <= result.found[8].successes


@pytest.mark.parametrize(("successes", "cases"), [(0, 10), (10, 10), (3, 10), (480, 511), (1, 1)])
def test_the_interval_is_wilsons(successes, cases):
    ours = share(successes, cases)
    theirs = stats.binomtest(successes, cases).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_no_cases_say_nothing():
    assert (share(0, 0).low, share(0, 0).high) == (0.0, 1.0)
    assert paired_ratio(np.array([]), np.array([])) is None


def test_ratios_and_their_intervals():
    random = np.random.default_rng(0)
    first, second = random.lognormal(2.0, 0.5, 300), random.lognormal(1.0, 0.5, 300)
    ratio = paired_ratio(first, second)
    logs = np.log(first / second)
    half = 1.96 * logs.std(ddof=1) / math.sqrt(300)
    assert ratio.geometric_mean == pytest.approx(math.exp(logs.mean()))
    assert ratio.geometric_mean_low == pytest.approx(math.exp(logs.mean() - half), rel=0.02)
    assert ratio.geometric_mean_high == pytest.approx(math.exp(logs.mean() + half), rel=0.02)
    assert ratio.ratio_of_means_low < first.mean() / second.mean() < ratio.ratio_of_means_high
    assert paired_ratio(np.array([6.0, 6.0]), np.array([3.0, 3.0])).ratio_of_means_high == 2.0


def test_the_code_of_files_charges_the_first_token_of_each():
    assert code_bits(math.log(8), files=3, vocab_size=16) == pytest.approx(3 + 3 * 4)
    assert bits_of(math.log(8), files=3, vocab_size=16, size=30) == pytest.approx(0.5)


def test_a_token_of_probability_zero_is_said_and_is_no_figure(bundle):
    class Masked(Parrot):
        def run(self, ids, past):
            logits = np.zeros((*ids.shape, 256), np.float32)
            logits[..., ord("b")] = -np.inf
            return logits, past

    assert bits_per_byte(Masked(bundle, {}), ["aaa"]).value == pytest.approx(8, rel=0.01)
    with pytest.raises(BundleError, match="the probability 0"):
        bits_per_byte(Masked(bundle, {}), ["aba"])
