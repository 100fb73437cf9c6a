"""Tokenizers lose nothing, and their `tokenizer.json` means the same to the `tokenizers` library alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers

from clew.core import files
from clew.core.errors import ClewError, EvidenceError, UsageError
from clew.proofs.tokenizers import (
    LONGEST_LINE,
    STYLES,
    BPETokenizer,
    ByteTokenizer,
    Tokenizer,
    _without_long_lines,
    check_round_trips,
    load_tokenizer,
    train_bpe,
)

TEXTS = [
    f"@T\ntheorem t{number}[A: Ring](a: A, b: A) {{\n    a * (b + {number}) = b\n}} by {{\n@G\n        a + b = b + a\n"
    f"@C\na + b != b + a\n@P\nnot a < {number} or a + b = b + a\na ≥ {number}\n"
    for number in range(60)
]
AWKWARD = [
    "",
    "\n",
    "\r\n",
    " ",
    "  \n\n  ",
    "≥",
    "e\u0301",
    "🧶🧵\n",
    "\x00\x07\x1b[0m",
    "\u2028\ufeff\u00a0",
    "naïve\tﬁ",
]

strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.lists(
    st.sampled_from(["a + b", " ", "\n", "≥", "🧶", "(", "12", "    ", "@P\n", "é", "\t"]), max_size=12
).map("".join)

BPE = {style: train_bpe(TEXTS, vocab_size=320, style=style) for style in STYLES}
ALL: dict[str, Tokenizer] = {"bytes": ByteTokenizer(), **BPE}


def peer_of(tokenizer: Tokenizer, folder: Path) -> tokenizers.Tokenizer:
    """The saved tokenizer.json, loaded by the library with no code of ours."""
    tokenizer.save(folder / "tokenizer.json")
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("name", ALL)
@given(text=strings)
def test_every_string_comes_back_and_its_tokens_are_its_bytes(name: str, text: str):
    tokenizer = ALL[name]
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert b"".join(tokenizer.token_bytes(int(token)) for token in ids) == text.encode()
    assert ids.dtype == np.uint16
    assert ids.size == 0 or int(ids.max()) < tokenizer.vocab_size


@pytest.mark.parametrize("name", ALL)
def test_the_library_alone_gives_the_same_ids_and_the_same_text(name: str, tmp_path: Path):
    tokenizer = ALL[name]
    peer = peer_of(tokenizer, tmp_path)
    assert peer.get_vocab_size() == tokenizer.vocab_size
    for text in [*TEXTS, *AWKWARD]:
        ids = peer.encode(text).ids
        assert ids == tokenizer.encode(text).tolist()
        assert peer.decode(ids) == text
    assert [ids.tolist() for ids in tokenizer.encode_batch(TEXTS)] == [
        tokenizer.encode(text).tolist() for text in TEXTS
    ]


@pytest.mark.parametrize("name", ALL)
def test_nothing_stands_for_an_unknown_or_for_padding(name: str, tmp_path: Path):
    peer = peer_of(ALL[name], tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    assert content["added_tokens"] == []
    assert content["model"]["unk_token"] is None
    assert peer.padding is None
    assert peer.truncation is None


@pytest.mark.parametrize("name", ALL)
def test_a_saved_tokenizer_loads_as_itself(name: str, tmp_path: Path):
    tokenizer = ALL[name]
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = load_tokenizer(path)
    assert type(loaded) is type(tokenizer)
    assert loaded.fingerprint == tokenizer.fingerprint == files.sha256_of_file(path)
    assert loaded.vocab_size == tokenizer.vocab_size
    assert loaded.encode(TEXTS[0]).tolist() == tokenizer.encode(TEXTS[0]).tolist()


def test_the_id_of_a_byte_is_its_value(tmp_path: Path):
    tokenizer = ByteTokenizer()
    tokenizer.save(tmp_path / "tokenizer.json")
    # Where ord() modulo 256 would say 101: U+2265 takes three bytes.
    assert tokenizer.encode("≥").tolist() == [0xE2, 0x89, 0xA5]
    assert [tokenizer.token_bytes(byte) for byte in range(256)] == [bytes([byte]) for byte in range(256)]
    assert (
        BPETokenizer((tmp_path / "tokenizer.json").read_text()).encode("a≥\n").tolist()
        == tokenizer.encode("a≥\n").tolist()
    )


@pytest.mark.parametrize("name", ALL)
def test_a_cut_character_decodes_to_the_replacement_character_as_in_the_library(name: str, tmp_path: Path):
    tokenizer = ALL[name]
    ids = tokenizer.encode("🧶").tolist()
    assert len(ids) == 4
    for cut in ([*ids[:2]], [*ids[2:]], [*ids[:3], *tokenizer.encode("a").tolist()]):
        assert "\ufffd" in tokenizer.decode(cut)
        assert tokenizer.decode(cut) == peer_of(tokenizer, tmp_path).decode(cut)


@pytest.mark.parametrize("style", STYLES)
def test_the_vocabulary_holds_each_byte_and_has_the_size_asked_for(style: str):
    tokenizer = BPE[style]
    tokens = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
    assert {bytes([byte]) for byte in range(256)} <= set(tokens)
    assert len(set(tokens)) == len(tokens) == 320
    longest = STYLES[style].max_token_length
    assert longest is None or max(map(len, tokens)) <= longest


@pytest.mark.parametrize("style", [style for style in STYLES if style != "gpt2"])
def test_no_token_goes_past_the_end_of_a_line(style: str):
    tokenizer = BPE[style]
    assert all(b"\n" not in tokenizer.token_bytes(token)[:-1] for token in range(tokenizer.vocab_size))


@pytest.mark.parametrize("style", [style for style in STYLES if style != "gpt2"])
@given(before=st.lists(strings, max_size=4), after=strings)
def test_text_cut_at_the_start_of_a_line_tokenizes_as_within_the_whole(style: str, before: list[str], after: str):
    tokenizer = BPE[style]
    prompt = "".join(f"{line}\n" for line in before)
    whole = tokenizer.encode(prompt + after).tolist()
    assert whole == [*tokenizer.encode(prompt).tolist(), *tokenizer.encode(after).tolist()]


def test_whole_lines_compress_more_than_words_and_words_more_than_gpt2():
    tokens = {style: sum(map(len, BPE[style].encode_batch(TEXTS))) for style in ("lines", "words", "gpt2")}
    assert tokens["lines"] < tokens["words"] < tokens["gpt2"]


def test_training_is_a_function_of_its_texts():
    script = (
        "import sys; from clew.proofs.tokenizers import train_bpe; "
        "print(train_bpe(sys.stdin.read().split('|'), vocab_size=320).fingerprint)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], input="|".join(TEXTS), capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == train_bpe(TEXTS, vocab_size=320).fingerprint
    assert train_bpe(TEXTS[:30], vocab_size=320).fingerprint != printed.strip()


def test_a_vocabulary_that_cannot_be_reached_stays_smaller():
    tokenizer = train_bpe(["ab\nab\n"], vocab_size=4096)
    assert 256 < tokenizer.vocab_size < 262
    assert tokenizer.decode(tokenizer.encode("ab\nab\nba")) == "ab\nab\nba"


def test_wrong_training_is_refused():
    with pytest.raises(UsageError, match="cannot have 255 entries"):
        train_bpe(TEXTS, vocab_size=255)
    with pytest.raises(UsageError, match="Did you mean 'lines'"):
        train_bpe(TEXTS, style="line")
    with pytest.raises(EvidenceError, match="no text to train"):
        train_bpe([])


def foreign(**vocabulary: int) -> tokenizers.Tokenizer:
    """A byte-level BPE as the library makes it, with further entries."""
    alphabet = {character: number for number, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab=alphabet | vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def test_a_foreign_byte_level_tokenizer_with_an_end_token_is_accepted(tmp_path: Path):
    peer = foreign()
    peer.add_special_tokens(["<|endoftext|>"])
    peer.enable_truncation(4)
    peer.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path / "tokenizer.json")
    assert tokenizer.vocab_size == 257
    assert tokenizer.token_bytes(256) == b"<|endoftext|>"
    assert tokenizer.decode(tokenizer.encode("a ≥ b<|endoftext|>c")) == "a ≥ b<|endoftext|>c"


def lowercasing() -> tokenizers.Tokenizer:
    tokenizer = foreign()
    tokenizer.normalizer = normalizers.Lowercase()
    return tokenizer


def with_prefix_space() -> tokenizers.Tokenizer:
    tokenizer = foreign()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer


def of_whole_words() -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer(models.WordLevel({"a": 0, "b c": 1}, unk_token="a"))


def without_some_bytes() -> tokenizers.Tokenizer:
    tokenizer = foreign()
    vocabulary = {"a": 0, "b": 1}
    tokenizer.model = models.BPE(vocab=vocabulary, merges=[])
    return tokenizer


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lowercasing, "does not give back every text"),
        (with_prefix_space, "does not give back every text"),
        (of_whole_words, "is not a byte-level tokenizer"),
        (without_some_bytes, r"no token for the byte 0x00 \(254 of 256"),
        (lambda: foreign(xx=300), "no token with the id 256"),
    ],
)
def test_a_tokenizer_that_loses_text_is_refused(make, what: str, tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    make().save(str(path))
    with pytest.raises(EvidenceError, match=what) as caught:
        load_tokenizer(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{}", b"not JSON", b"\xff\xfe", b'{"version": "1.0"}'])
def test_a_file_that_is_no_tokenizer_is_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(EvidenceError, match=r"tokenizer\.json is not a tokenizer"):
        load_tokenizer(path)


def test_a_missing_tokenizer_is_a_sentence(tmp_path: Path):
    with pytest.raises(ClewError, match="There is no such file"):
        load_tokenizer(tmp_path / "tokenizer.json")


def long_line(size: int) -> str:
    """A line of some `size` characters, all of whose parts differ."""
    return " ".join(f"x{number * number % 9973:x}" for number in range(size // 5)) + "\n"


@pytest.mark.parametrize("style", STYLES)
def test_ordinary_lines_train_the_merges_that_the_library_finds_in_them(style: str, tmp_path: Path, monkeypatch):
    whole = train_bpe(TEXTS, vocab_size=320, style=style)
    monkeypatch.setattr("clew.proofs.tokenizers._without_long_lines", lambda texts: texts)
    assert train_bpe(TEXTS, vocab_size=320, style=style).fingerprint == whole.fingerprint


@pytest.mark.parametrize("line", [long_line(160_000), "x" * 160_000 + "\n", long_line(160_000).replace(" ", "")])
def test_training_takes_a_time_that_grows_with_the_text_and_not_with_its_longest_line(line: str):
    parts = [line[start : start + 1000] for start in range(0, len(line), 1000)]
    seconds = {}
    for name, texts in (("lines", parts), ("line", [line])):
        began = time.process_time()
        tokenizer = train_bpe(texts, vocab_size=600)
        seconds[name] = time.process_time() - began
        assert tokenizer.decode(tokenizer.encode(line)) == line
    assert seconds["line"] < 10 * seconds["lines"] + 1


def test_a_long_line_is_cut_before_a_space_and_loses_nothing():
    text = "a short line\n" + long_line(3 * LONGEST_LINE) + "b" * (2 * LONGEST_LINE) + "\n\nthe end"
    parts = list(_without_long_lines([text]))
    assert "".join(parts) == text
    assert max(map(len, parts)) <= LONGEST_LINE
    assert parts[0] == "a short line\n"
    assert all(part.startswith(" ") for part in parts[2:4])
    assert list(_without_long_lines(TEXTS)) == TEXTS


def stripping(**how: bool) -> tokenizers.Tokenizer:
    tokenizer = foreign()
    tokenizer.add_tokens([tokenizers.AddedToken("@P", normalized=False, **how)])
    return tokenizer


@pytest.mark.parametrize("how", [{"lstrip": True}, {"rstrip": True}])
def test_an_added_token_that_takes_spaces_with_it_is_refused(how: dict, tmp_path: Path):
    stripping(**how).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(EvidenceError, match="drops characters, as in '  @P  a'"):
        load_tokenizer(tmp_path / "tokenizer.json")
    stripping().save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path / "tokenizer.json")
    assert tokenizer.decode(tokenizer.encode(TEXTS[0])) == TEXTS[0]


def test_truncation_and_padding_are_off_and_are_not_saved(tmp_path: Path):
    peer = foreign()
    peer.enable_truncation(4)
    peer.enable_padding(length=9)
    peer.save(str(tmp_path / "theirs.json"))
    tokenizer = load_tokenizer(tmp_path / "theirs.json")
    tokenizer.save(tmp_path / "ours.json")
    whole = foreign().encode(TEXTS[0]).ids
    assert tokenizer.encode(TEXTS[0]).tolist() == whole
    assert tokenizers.Tokenizer.from_file(str(tmp_path / "ours.json")).encode(TEXTS[0]).ids == whole
    assert peer.encode(TEXTS[0]).ids != whole


def test_a_text_that_does_not_come_back_is_named_with_its_file_and_place():
    tokenizer = ByteTokenizer()
    encoded = tokenizer.encode_batch(TEXTS)
    names = [f"proof_{number}.txt" for number in range(len(TEXTS))]
    check_round_trips(tokenizer, TEXTS, encoded, names)
    encoded[7] = encoded[7][:60]
    with pytest.raises(EvidenceError, match=r"proof_7.txt:4: .*} b' it has '' where the file has 'y \{"):
        check_round_trips(tokenizer, TEXTS, encoded, names)
    encoded[7] = tokenizer.encode(TEXTS[7].replace("not a", "not  a"))
    with pytest.raises(EvidenceError, match=r"proof_7.txt:\d+: .* after '.*not ' it has ' a < 7"):
        check_round_trips(tokenizer, TEXTS, encoded, names)


def changed(**parts) -> str:
    return json.dumps({**json.loads(BPE["lines"]._json), **parts})


PREFIX = {**json.loads(BPE["lines"]._json)["model"], "continuing_subword_prefix": "abcd"}
PANICS = {
    "charsmap": changed(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    "prefix": changed(model=PREFIX),
    "length": changed(pre_tokenizer={"type": "FixedLength", "length": 0}),
    "pattern": changed(normalizer={"type": "Replace", "pattern": {"Regex": ""}, "content": "a"}),
}


@pytest.mark.parametrize("name", PANICS)
def test_a_tokenizer_that_makes_the_library_panic_gets_a_sentence(name: str, tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    path.write_text(PANICS[name])
    with pytest.raises(EvidenceError, match=r"tokenizer\.json is not a tokenizer .*: it makes the library panic"):
        load_tokenizer(path)


def test_merges_at_random_are_refused(tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    path.write_text(changed(model={**json.loads(BPE["lines"]._json)["model"], "dropout": 0.5}))
    with pytest.raises(EvidenceError, match="leaves out merges at random"):
        load_tokenizer(path)


@pytest.mark.parametrize("content", ["[" * 3000 + "]" * 3000, '{"version": ' + "7" * 5000 + "}"])
def test_brackets_and_digits_beyond_measure_are_refused(content: str, tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(EvidenceError, match="is not a tokenizer"):
        load_tokenizer(path)


def test_saving_replaces_a_tokenizer_and_nothing_else(tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    for tokenizer in ALL.values():
        tokenizer.save(path)
    path.write_text('{"notes": "mine"}')
    with pytest.raises(UsageError, match="is not a tokenizer that Clew wrote"):
        ByteTokenizer().save(path)
