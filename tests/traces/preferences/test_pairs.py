"""Preference pairs: the forms that are read, what is wrong told with file, line and column, splits, trees."""

from __future__ import annotations

import json

import numpy as np
import pytest
from trl import extract_prompt

from clew.bundle.chat import Encoded
from clew.core.errors import EvidenceError, UsageError
from clew.recipes.preference import PreferenceRecipe
from clew.traces.jsonl import LineError
from clew.traces.preferences.evidence import prepare
from clew.traces.preferences.pairs import read_pairs, write_pairs
from clew.traces.preferences.trees import EncodedPair, PairStream, pieces_of
from small_preferences import rows_of_pairs, small_preference, write_rows

TALK = {
    "prompt": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
    "chosen": [{"role": "assistant", "content": "Hello!"}],
    "rejected": [{"role": "assistant", "content": "What?"}],
}


def read(tmp_path, *rows):
    return list(read_pairs(write_rows(tmp_path / "pairs.jsonl", list(rows))))


def test_plain_and_conversational_pairs_are_read_and_written_back(tmp_path):
    plain = {"prompt": "1 + 1?", "chosen": "2", "rejected": "3", "score_chosen": 9}
    pairs = read(tmp_path, plain, {"id": "talk", **TALK})
    assert (pairs[0].prompt, pairs[0].chosen, pairs[0].rejected) == ("1 + 1?", "2", "3")
    assert pairs[0].metadata == {"score_chosen": 9}
    assert pairs[1].id == "talk"
    assert list(pairs[1].prompt) == TALK["prompt"]
    assert write_pairs(tmp_path / "again.jsonl", pairs) == 2
    assert list(read_pairs(tmp_path / "again.jsonl")) == [
        *(pair.__class__(**{**vars(pair), "id": name}) for pair, name in zip(pairs, ("line 1", "talk"), strict=True))
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": "The sky is blue.", "rejected": "The sky is green."},
        {"chosen": "Q: 1+1? A: 2", "rejected": "Q: 1+1? A: 3"},
        {
            "chosen": [*TALK["prompt"], *TALK["chosen"]],
            "rejected": [*TALK["prompt"], *TALK["rejected"]],
        },
    ],
)
def test_a_prompt_that_is_not_said_is_what_both_begin_with_as_trl_takes_it(tmp_path, row):
    (pair,) = read(tmp_path, row)
    theirs = extract_prompt(row)
    found = pair.document()
    assert {key: found[key] for key in theirs} == theirs


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": "a", "chosen": "b"}, ":1:1: rejected is missing"),
        ({"prompt": "a", "rejected": "b"}, ":1:1: chosen is missing"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, ":1:44: chosen and rejected are the same"),
        ({"prompt": "a", "chosen": "", "rejected": "b"}, ":1:27: chosen is empty"),
        ({"prompt": " \n", "chosen": "a", "rejected": "b"}, "prompt is empty"),
        ({"prompt": 3, "chosen": "a", "rejected": "b"}, "prompt is neither a text nor a list of messages"),
        ({"prompt": "a", "chosen": [], "rejected": "b"}, "chosen is an empty list"),
        ({**TALK, "chosen": "Hello"}, "chosen and rejected are a text and a list of messages"),
        ({**TALK, "prompt": "Hi"}, "the prompt is a text and the answers are lists of messages"),
        ({**TALK, "chosen": [{"role": "robot", "content": "x"}]}, "message 1 of chosen has no role"),
        ({**TALK, "chosen": [{"role": "assistant", "content": ""}]}, "message 1 of chosen is empty"),
        ({**TALK, "chosen": [{"role": "user", "content": "x"}]}, "the last message of chosen is not the assistant's"),
        ({**TALK, "prompt": [*TALK["prompt"], *TALK["chosen"]]}, "is the assistant's, which is no question"),
        ({"chosen": "yes", "rejected": "no"}, "there is no prompt"),
        ({"chosen": "same", "rejected": "same"}, "chosen and rejected are the same"),
        ({"chosen": "a word", "rejected": "a word more"}, "is the beginning of the other"),
    ],
)
def test_what_is_no_pair_is_told_with_its_place(tmp_path, row, told):
    with pytest.raises(LineError) as error:
        read(tmp_path, row)
    assert told in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "pairs.jsonl"))
    assert str(error.value).endswith(".")


def test_bad_lines_are_counted_and_named_where_the_recipe_says_so(tmp_path):
    rows = rows_of_pairs(6)
    rows[2]["rejected"] = rows[2]["chosen"]
    rows[4]["chosen"] = ""
    path = write_rows(tmp_path / "pairs.jsonl", rows)
    with pytest.raises(LineError, match=r"pairs.jsonl:3:\d+: chosen and rejected are the same"):
        prepare(small_preference(path))
    prepared = prepare(small_preference(path, data={"bad": "skip"}))
    assert len(prepared.pairs) == 4
    lines = prepared.describe()
    assert any("2 lines that hold no pair are left out" in line for line in lines)
    assert any("pairs.jsonl:5:" in line for line in lines)
    write_rows(path, [rows[2]])
    with pytest.raises(EvidenceError, match=r"nothing to train on\. All of its 1 lines"):
        prepare(small_preference(path, data={"bad": "skip"}))


def test_no_prompt_is_on_both_sides_and_a_file_that_is_not_there_is_told(tmp_path):
    rows = [{**row, "rejected": f"{row['rejected']} {number}"} for row in rows_of_pairs(10) for number in range(3)]
    prepared = prepare(small_preference(write_rows(tmp_path / "pairs.jsonl", rows)))
    sides = [{prepared.pairs[index].prompt_key for index in side} for side in (prepared.train, prepared.held_out)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == 2
    with pytest.raises(EvidenceError, match="There is no file"):
        prepare(small_preference(tmp_path / "other.jsonl"))


def test_pairs_that_do_not_fit_stop_the_run_or_are_left_out(tmp_path):
    rows = rows_of_pairs(6)
    rows[1]["chosen"] = "long " * 100
    path = write_rows(tmp_path / "pairs.jsonl", rows)
    with pytest.raises(
        EvidenceError, match=r"1 of 6 pairs have more than 200 tokens in a sequence: the first is line 2"
    ):
        prepare(small_preference(path))
    prepared = prepare(small_preference(path, data={"too_long": "skip"}))
    assert len(prepared.pairs) == 5
    assert any("1 pairs of more than 200 tokens are left out" in line for line in prepared.describe())


def test_only_the_answer_and_the_end_of_its_turn_count(tmp_path):
    rows = [{"prompt": "Q?", "chosen": "yes", "rejected": "no"}, TALK]
    prepared = prepare(small_preference(write_rows(tmp_path / "pairs.jsonl", rows), data={"validation_fraction": 0}))
    tokenizer = prepared.model.open_tokenizer()
    told = [
        tokenizer.decode(side.tokens[side.trained].tolist(), skip_special_tokens=False)
        for pair in prepared.encoded
        for side in pair
    ]
    assert told == [f"{text}<end_of_turn>" for text in ("yes", "no", "Hello!", "What?")]
    assert "Be kind.\n\nHi" in tokenizer.decode(prepared.encoded[1].chosen.tokens.tolist())
    plain = prepare(small_preference(tmp_path / "pairs.jsonl", data={"validation_fraction": 0, "plain_as": "text"}))
    assert tokenizer.decode(plain.encoded[0].chosen.tokens.tolist(), skip_special_tokens=False) == "Q?yes<end_of_turn>"


def encoded(tokens, prompt):
    array = np.array(tokens)
    return Encoded(array, np.arange(len(array)) >= prompt)


def test_a_tree_holds_what_both_answers_begin_with_once():
    pair = EncodedPair(encoded([1, 2, 3, 4, 5, 6], 2), encoded([1, 2, 3, 9], 2))
    (tree,) = pieces_of(pair)
    assert tree.tokens.tolist() == [1, 2, 3, 4, 5]
    assert tree.branches.tolist() == [0, 0, 0, 1, 1]
    assert tree.positions.tolist() == [0, 1, 2, 3, 4]
    # 3 is predicted once, by the 2, and counts for both; then each branch predicts its own from the trunk's end on.
    counted = {
        (int(side), int(tree.places[entry]), int(tree.targets[entry]))
        for side, entry in zip(tree.sides, tree.entries, strict=True)
    }
    assert counted == {(0, 1, 3), (1, 1, 3), (0, 2, 4), (0, 3, 5), (0, 4, 6), (1, 2, 9)}
    (whole,) = pieces_of(pair, whole=True)
    assert whole.tokens.tolist() == [1, 2, 3, 4, 5, 6, 9]
    assert whole.tokens[whole.ends].tolist() == [6, 9]
    apart = pieces_of(pair, shared=False)
    assert [piece.tokens.tolist() for piece in apart] == [[1, 2, 3, 4, 5], [1, 2, 3]]


def test_rows_of_a_batch_count_every_token_once():
    random = np.random.default_rng(0)
    pairs = []
    for _ in range(9):
        prompt = random.integers(0, 50, random.integers(1, 9)).tolist()
        sides = [prompt + random.integers(0, 50, random.integers(1, 12)).tolist() + [51 + side] for side in (0, 1)]
        pairs.append(EncodedPair(*(encoded(side, len(prompt)) for side in sides)))
    for shared in (True, False):
        rows = PairStream(pairs, range(9), 0, shared=shared, whole=False).rows(range(9))
        assert rows.lengths.tolist() == [int(side.trained.sum()) for pair in pairs for side in pair]
        flat = rows.tokens.flatten()
        found: dict[int, list[int]] = {}
        for entry, sequence in zip(rows.entries, rows.sequences, strict=True):
            found.setdefault(int(sequence), []).append(int(rows.targets[entry]))
        for sequence, targets in found.items():
            side = pairs[sequence // 2][sequence % 2]
            assert sorted(targets) == sorted(side.tokens[side.trained].tolist())
        assert flat[rows.ends[rows.ends >= 0]].size == 18


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"loss": "ipo", "label_smoothing": 0.1}, "ipo has no label_smoothing"),
        ({"loss": "robust"}, "robust needs label_smoothing"),
        ({"beta": 0}, "beta"),
        ({"label_smoothing": 0.5}, "label_smoothing"),
        ({"lora": {"rank": 4}}, "is a model of ours, which trains whole"),
        ({"data": {"checker": "arithmetics", "path": ""}}, "Did you mean 'arithmetic'"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_in_a_sentence(tmp_path, changed, told):
    from clew.recipes.base import validate

    path = write_rows(tmp_path / "pairs.jsonl", rows_of_pairs(4))
    values = json.loads(small_preference(path).model_dump_json())
    for name, value in changed.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    with pytest.raises(UsageError) as error:
        prepare(validate(PreferenceRecipe, values, "the recipe"))
    assert told in str(error.value)
