"""Decoding with the cache gives what decoding without one gives, and a row draws by itself."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from clew.bundle.decode import Line, LineSession, greedy, line_tokens, sample_lines
from clew.bundle.load import load_bundle
from clew.bundle.pieces import byte_alphabet
from clew.bundle.sampling import Sampling
from clew.core.errors import UsageError
from clew.export.publish import publish_onnx
from conftest import byte_tokenizer, random_gpt, source_of

PROMPT = "@G\na = b\n@P\n"
SHORT = Sampling(max_tokens=20, seed=5)


@pytest.fixture(scope="module")
def bundle(published: Path):
    return load_bundle(published)


@pytest.fixture(scope="module")
def writes_lines(tmp_path_factory):
    """A model that ends one token in eight, so that lines end."""
    model = random_gpt(seed=2)
    with torch.no_grad():
        model.embedding.weight *= 0.3
        model.norm.weight[0] = 4.0
        for block in model.blocks:
            block.attention.out.weight[0] = 0
            block.mlp.down.weight[0] = 0
        model.embedding.weight[:, 0] = 1.0
        model.embedding.weight[ord("\n"), 0] = 2.0
    folder = tmp_path_factory.mktemp("lines")
    publish_onnx(source_of(model, byte_tokenizer(), folder / "checkpoint"), folder / "bundle")
    return model, load_bundle(folder / "bundle")


def uncached(model, tokens):
    with torch.inference_mode():
        return model(torch.tensor([tokens]))[0].double()


def test_greedy_tokens_are_those_of_decoding_without_a_cache(bundle, small_gpt):
    prompt = bundle.encode(PROMPT)
    tokens = list(prompt)
    for _ in range(30):
        tokens.append(int(uncached(small_gpt, tokens)[-1].argmax()))
    assert greedy(bundle, prompt, 30) == tokens[len(prompt) :]


def test_a_line_ends_at_its_newline_and_its_logprob_is_the_models(writes_lines):
    model, bundle = writes_lines
    lines = sample_lines(bundle, PROMPT, 16, Sampling(max_tokens=30, temperature=1.3, seed=1))
    assert {line.finished for line in lines} == {True, False}
    prompt = bundle.encode(PROMPT)
    for line in lines:
        content = bytes(line.tokens)
        assert content.endswith(b"\n") == line.finished
        assert content.count(b"\n") == line.finished
        assert line.text == content.removesuffix(b"\n").decode(errors="replace")
        assert line.finished or len(line.tokens) == 30
        log_probabilities = torch.log_softmax(uncached(model, [*prompt, *line.tokens]), -1)
        steps = [float(log_probabilities[len(prompt) - 1 + i, token]) for i, token in enumerate(line.tokens)]
        assert line.logprob == pytest.approx(sum(steps), abs=1e-3)


def test_a_row_draws_the_same_whatever_is_sampled_beside_it(writes_lines):
    _, bundle = writes_lines
    many = sample_lines(bundle, PROMPT, 30, SHORT)
    assert len(set(many)) > 10
    for k in (1, 2, 7):
        alone = sample_lines(bundle, PROMPT, k, SHORT)
        assert [line.tokens for line in alone] == [line.tokens for line in many[:k]]


def test_the_seed_and_the_attempt_change_the_lines(writes_lines):
    _, bundle = writes_lines
    session = LineSession(bundle, PROMPT, SHORT)
    first, second = session.propose(8), session.propose(8)
    assert first == sample_lines(bundle, PROMPT, 8, SHORT)
    assert first != second
    assert first != sample_lines(bundle, PROMPT, 8, Sampling(max_tokens=20, seed=6))


def test_first_tokens_follow_the_softmax(bundle, small_gpt):
    sampling = Sampling(max_tokens=1, temperature=1.5)
    draws = Counter(line.tokens[0] for line in sample_lines(bundle, PROMPT, 8000, sampling))
    expected = torch.softmax(uncached(small_gpt, bundle.encode(PROMPT))[-1] / 1.5, -1).numpy() * 8000
    common = expected > 5
    observed = np.array([draws[token] for token in range(256)])
    pooled = [*observed[common], observed[~common].sum()], [*expected[common], expected[~common].sum()]
    assert stats.chisquare(*pooled).pvalue > 0.01


def test_second_tokens_follow_the_softmax_after_the_first(bundle, small_gpt):
    prompt = bundle.encode(PROMPT)
    lines = sample_lines(bundle, PROMPT, 8000, Sampling(max_tokens=2, temperature=0.6))
    (first, _), *_ = Counter(line.tokens[0] for line in lines if len(line.tokens) == 2).most_common(1)
    second = Counter(line.tokens[1] for line in lines if line.tokens[0] == first)
    total = second.total()
    assert total > 500
    expected = torch.softmax(uncached(small_gpt, [*prompt, first])[-1] / 0.6, -1).numpy() * total
    common = expected > 5
    observed = np.array([second[token] for token in range(256)])
    pooled = [*observed[common], observed[~common].sum()], [*expected[common], expected[~common].sum()]
    assert stats.chisquare(*pooled).pvalue > 0.01


def test_an_accepted_line_stays_and_a_rejected_one_leaves_no_trace(bundle, small_gpt):
    session = LineSession(bundle, "@P\n", Sampling(max_tokens=10))
    session.propose(5)
    session.accept("a = c")
    session.propose(5)
    text = "@P\na = c\n"
    np.testing.assert_allclose(session.logits(), uncached(small_gpt, list(text.encode()))[-1], atol=1e-4)


def test_an_accepted_line_costs_its_own_tokens(bundle, monkeypatch):
    session = LineSession(bundle, PROMPT, Sampling(max_tokens=10))
    session.logits()
    computed = []
    run = bundle.run
    monkeypatch.setattr(bundle, "run", lambda ids, past: (computed.append(ids.shape), run(ids, past))[1])
    session.accept("x = y")
    session.logits()
    session.logits()
    assert computed == [(1, 6)]


def test_rows_that_drew_the_same_tokens_are_computed_once(bundle, monkeypatch):
    batches = []
    run = bundle.run
    monkeypatch.setattr(bundle, "run", lambda ids, past: (batches.append(len(ids)), run(ids, past))[1])
    sample_lines(bundle, PROMPT, 9, Sampling(temperature=0, max_tokens=12))
    assert set(batches) == {1}


def test_a_long_text_is_cut_on_the_left(bundle, small_gpt):
    session = LineSession(bundle, "x" * 500 + PROMPT, Sampling(max_tokens=18))
    kept = list(("x" * 500 + PROMPT).encode())[-30:]
    np.testing.assert_allclose(session.logits(), uncached(small_gpt, kept)[-1], atol=1e-4)
    session.accept("a + 0 = a")
    kept = [*kept, *b"a + 0 = a\n"][-30:]
    np.testing.assert_allclose(session.logits(), uncached(small_gpt, kept)[-1], atol=1e-4)


def test_a_fork_goes_its_own_way(bundle):
    session = LineSession(bundle, PROMPT, SHORT)
    before = session.logits().copy()
    fork = session.fork(seed=6, temperature=0.8)
    assert fork.propose(3) == sample_lines(bundle, PROMPT, 3, Sampling(max_tokens=20, seed=6))
    fork.accept("b = a")
    assert not np.allclose(fork.logits(), before)
    np.testing.assert_array_equal(session.logits(), before)
    assert session.propose(3) == sample_lines(bundle, PROMPT, 3, SHORT)


def test_a_token_that_goes_on_beyond_its_newline_is_cut_there(published: Path, tmp_path):
    folder = Path(shutil.copytree(published, tmp_path / "bundle"))
    (folder / "bundle.json").unlink()
    tokenizer = json.loads(byte_tokenizer().to_str())
    newline = next(character for character, byte in byte_alphabet().items() if byte == 10)
    vocabulary = tokenizer["model"]["vocab"]
    # Byte 255 stands in no UTF-8 text, so its row of the model is free for a token across two lines.
    vocabulary[f"{newline}a"] = vocabulary.pop(next(token for token, byte in byte_alphabet().items() if byte == 255))
    tokenizer["model"]["merges"] = [[newline, "a"]]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    bundle = load_bundle(folder)
    assert bundle.pieces[255] == b"\na"
    line = Line("b = ", 0.0, (*b"b = ", 255), finished=True)
    assert line_tokens(bundle, line) == list(b"b = \n")


def test_a_line_that_did_not_end_is_ended_when_it_is_accepted(bundle):
    assert line_tokens(bundle, Line("ab", 0.0, (97, 98), finished=False)) == [97, 98, 10]


def test_what_cannot_be_decoded_is_said(bundle):
    with pytest.raises(UsageError, match="prompt is empty"):
        LineSession(bundle, "", SHORT)
    with pytest.raises(UsageError, match="the context of this bundle is 48"):
        LineSession(bundle, PROMPT, Sampling(max_tokens=48))
