"""Many prompts answered at once are answered as each is by itself, and as decoding without a cache answers it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from clew.bundle.generate import generate
from clew.bundle.load import Bundle, load_bundle
from clew.bundle.sampling import Sampling
from clew.core.errors import BundleError, UsageError
from small_chat import STOP, publish_small_chat

START, END = "<start_of_turn>", "<end_of_turn>"
GREEDY = Sampling(temperature=0, max_tokens=24)
SAMPLED = Sampling(temperature=1.0, max_tokens=24, seed=3)


def prompt(question: str) -> str:
    return f"{START}user\n{question}{END}\n{START}model\n"


PROMPTS = [prompt("ab" * (number % 7) + str(number)) for number in range(20)]


@pytest.fixture(scope="module")
def chatty(tmp_path_factory) -> tuple[torch.nn.Module, Bundle]:
    """A model that ends its turn at about one token in ten, and its bundle."""
    model, folder = publish_small_chat(tmp_path_factory.mktemp("chatty"))
    return model, load_bundle(folder)


@pytest.fixture(scope="module")
def bundle(chatty) -> Bundle:
    return chatty[1]


def next_logits(model: torch.nn.Module, tokens: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([tokens]))[0, -1].double()


def test_greedy_answers_are_those_of_decoding_each_without_a_cache(chatty):
    model, bundle = chatty
    endless = generate(bundle, PROMPTS, GREEDY, stop=END)
    drawn = Counter(token for answer in endless for token in set(answer.tokens) if 33 <= token < 127)
    stop = next(token for token, count in drawn.items() if 3 <= count <= 17)  # so that about half of them end
    answers = generate(bundle, PROMPTS, GREEDY, stop=chr(stop), batch_size=7)
    assert len({answer.prompt_tokens for answer in answers}) > 5
    assert {answer.finished for answer in answers} == {True, False}
    for question, answer in zip(PROMPTS, answers, strict=True):
        tokens = bundle.encode(question)
        assert answer.prompt_tokens == len(tokens)
        written: list[int] = []
        while len(written) < GREEDY.max_tokens and stop not in written:
            written.append(int(next_logits(model, tokens + written).argmax()))
        assert list(answer.tokens) == written
        assert answer.finished == (stop in written)


def test_sampled_answers_are_the_same_whatever_is_answered_beside_them(bundle):
    together = generate(bundle, PROMPTS, SAMPLED, stop=END)
    assert len({answer.tokens for answer in together}) > 15
    assert len({len(answer.tokens) for answer in together if answer.finished}) > 5
    for number, question in enumerate(PROMPTS):
        (alone,) = generate(bundle, [question], SAMPLED, stop=END, keys=[str(number)])
        assert alone.tokens == together[number].tokens
    backwards = generate(
        bundle, PROMPTS[::-1], SAMPLED, stop=END, keys=[str(number) for number in range(20)][::-1], batch_size=3
    )
    assert [answer.tokens for answer in backwards[::-1]] == [answer.tokens for answer in together]


def test_the_key_and_the_seed_change_what_is_drawn_and_nothing_else_does(bundle):
    keys = [f"{number}" for number in range(8)]
    eight = generate(bundle, PROMPTS[:1] * 8, SAMPLED, stop=END, keys=keys)
    assert len({answer.tokens for answer in eight}) == 8
    again = generate(bundle, PROMPTS[:1] * 8, SAMPLED, stop=END, keys=keys)
    assert [answer.tokens for answer in again] == [answer.tokens for answer in eight]
    other = Sampling(temperature=1.0, max_tokens=24, seed=4)
    assert generate(bundle, PROMPTS[:1], other, stop=END, keys=["0"])[0].tokens != eight[0].tokens
    longer = generate(bundle, PROMPTS[:1], Sampling(temperature=1.0, max_tokens=48, seed=3), stop=END, keys=["0"])
    assert longer[0].tokens[: len(eight[0].tokens)] == eight[0].tokens


def test_first_and_second_tokens_follow_the_softmax_of_each_prompt(chatty):
    model, bundle = chatty
    questions = [prompt("a"), prompt("a longer question")]
    sampling = Sampling(temperature=0.7, max_tokens=2, seed=1)
    keys = [f"{number}" for number in range(8000)]
    answers = generate(bundle, questions * 4000, sampling, stop=END, keys=keys, batch_size=1000)
    for which, question in enumerate(questions):
        drawn = [answer.tokens for answer in answers[which::2]]
        firsts = Counter(tokens[0] for tokens in drawn)
        common = next(token for token, _ in firsts.most_common() if token != STOP)
        seconds = Counter(tokens[1] for tokens in drawn if tokens[0] == common)
        prefix = bundle.encode(question)
        for counts, tokens in ((firsts, prefix), (seconds, [*prefix, common])):
            expected = torch.softmax(next_logits(model, tokens) / 0.7, -1).numpy() * counts.total()
            often = expected > 5
            observed = np.array([counts[token] for token in range(258)])
            pooled = [*observed[often], observed[~often].sum()], [*expected[often], expected[~often].sum()]
            assert stats.chisquare(*pooled).pvalue > 0.01


def test_the_text_is_what_stands_before_the_end_of_the_turn(bundle):
    for answer in generate(bundle, PROMPTS, SAMPLED, stop=END):
        content = answer.tokens[:-1] if answer.finished else answer.tokens
        spelled = b"".join(START.encode() if token == 256 else bytes([token]) for token in content)
        assert answer.text == spelled.decode(errors="replace")
        assert END not in answer.text


def test_rows_that_ended_leave_the_batch(bundle, monkeypatch):
    rows = []
    run = bundle.run
    monkeypatch.setattr(bundle, "run", lambda ids, past: (rows.append(len(ids)), run(ids, past))[1])
    answers = generate(bundle, PROMPTS, SAMPLED, stop=END)
    assert rows[0] == len(PROMPTS)
    assert rows == sorted(rows, reverse=True)
    assert len(rows) == max(len(answer.tokens) for answer in answers)
    assert sum(rows) < 1.2 * sum(len(answer.tokens) for answer in answers)


def test_a_prompt_of_token_ids_holds_no_special_tokens_but_its_own(bundle):
    ids = [256, *b"user\n", *END.encode(), 257, *b"\n", 256, *b"model\n"]
    (answer,) = generate(bundle, [ids], GREEDY, stop=END)
    assert answer.prompt_tokens == len(ids)
    (spelled,) = generate(bundle, [prompt(END)], GREEDY, stop=END)
    assert spelled.prompt_tokens == len(ids) - len(END) + 1


def test_the_seconds_of_all_are_the_time_of_the_call_and_the_callback_counts_them(bundle):
    counted = []
    answers = generate(bundle, PROMPTS, GREEDY, stop=END, batch_size=8, done=counted.append)
    assert counted == [8, 8, 4]
    assert all(answer.seconds > 0 for answer in answers)


def test_no_prompts_give_no_answers(bundle):
    assert generate(bundle, [], GREEDY, stop=END) == []


def test_what_cannot_be_answered_is_said_before_anything_is_computed(bundle, monkeypatch):
    monkeypatch.setattr(bundle, "run", lambda *_: pytest.fail("computed"))
    with pytest.raises(UsageError, match=r"prompt of 'q7' has 7\d tokens; with max-tokens 24 .* which is 96 tokens"):
        generate(bundle, [PROMPTS[0], prompt("x" * 60)], GREEDY, stop=END, keys=["q1", "q7"])
    with pytest.raises(UsageError, match="prompt of '1' is empty"):
        generate(bundle, [PROMPTS[0], ""], GREEDY, stop=END)
    with pytest.raises(BundleError, match=r"no token '<end_of_tum>'.* Did you mean '<end_of_turn>'\?"):
        generate(bundle, PROMPTS, GREEDY, stop="<end_of_tum>")
    with pytest.raises(UsageError, match="20 prompts, but 1 keys"):
        generate(bundle, PROMPTS, GREEDY, stop=END, keys=["a"])
    with pytest.raises(UsageError, match="at least one row"):
        generate(bundle, PROMPTS, GREEDY, stop=END, batch_size=0)
