"""The bytes of tokens, against the tokenizers library's own encoding of text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

from clew.bundle.pieces import byte_alphabet, token_bytes
from conftest import byte_tokenizer

CORPUS = ["@G\n    -a + a = 0\n@P\n    a ≥ b\n", "theorem foo(a: A) {\n  a * b = b * a\n}\n"] * 20


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def test_the_alphabet_is_that_of_the_library():
    assert set(byte_alphabet()) == set(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(byte_alphabet().values()) == list(range(256))


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=40))
def test_the_pieces_of_a_text_are_its_bytes(trained, text):
    pieces = token_bytes(trained, 320)
    ids = trained.encode(text, add_special_tokens=False).ids
    assert b"".join(pieces[token] for token in ids) == text.encode()


def test_added_tokens_stand_for_their_text():
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens([AddedToken("<|end≥|>")])
    assert token_bytes(tokenizer, 258)[256:] == ["<|end≥|>".encode(), b""]


def test_bytes_written_in_hexadecimal_are_bytes():
    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)} | {"≥ a": 256}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True))
    pieces = token_bytes(tokenizer, 257)
    assert pieces[:256] == [bytes([byte]) for byte in range(256)]
    assert pieces[256] == "≥ a".encode()
