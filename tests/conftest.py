"""What tests share, made once a session: a small random GPT with a byte tokenizer, the bundle that is exported from
it, and a PostgreSQL server that is started when the first test asks for it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from clew.bundle.pieces import byte_alphabet
from clew.export.publish import publish_onnx
from clew.export.source import Source
from clew.models.gpt import GPT, GPTConfig
from clew.runs.checkpoints import read_state
from clew.training.checkpoint import save_checkpoint
from postgres_server import NoPostgresError, Server

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would each process that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A forward pass of a model this small is shorter than waking a second thread.
torch.set_num_threads(1)


def random_gpt(vocab_size: int = 256, context_length: int = 48, seed: int = 0) -> GPT:
    """A GPT whose logits are spread like those of a trained one, so that a difference shows."""
    model = GPT(
        GPTConfig(vocab_size=vocab_size, context_length=context_length, d_model=32, n_layers=2, n_heads=4, d_mlp=48)
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(1.0 if parameter.dim() < 2 else 0.0, 0.25, generator=random)
    return model.eval()


def byte_tokenizer(**extra: int) -> Tokenizer:
    """The 256 bytes in GPT-2's alphabet, in the order of the bytes; `extra` adds tokens."""
    tokenizer = Tokenizer(models.BPE(vocab=byte_alphabet() | extra, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def source_of(model: GPT, tokenizer: Tokenizer, folder: Path) -> Source:
    """What `find_source` gives for a checkpoint that was copied out of its run."""
    state = {"model": {"family": "gpt", **asdict(model.config)}}
    path = save_checkpoint(folder, step=7, model=model.state_dict(), optimizer={}, state=state, best=True, keep=1)
    tokenizer.save(str(path / "tokenizer.json"))
    return Source("small", path, read_state(path))


@pytest.fixture(scope="session")
def small_gpt() -> GPT:
    """256 tokens, a context of 48, two layers."""
    return random_gpt()


@pytest.fixture(scope="session")
def small_source(small_gpt: GPT, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The small GPT as a checkpoint on disk."""
    return source_of(small_gpt, byte_tokenizer(), tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="session")
def published(small_source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small GPT as a published bundle. Copy it before changing it."""
    folder = tmp_path_factory.mktemp("export") / "small"
    publish_onnx(small_source, folder)
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The server. Without PostgreSQL's binaries the tests that need it fail, with a sentence about how to get them."""
    try:
        server = Server()
    except NoPostgresError as error:
        pytest.fail(str(error), pytrace=False)
    yield server
    server.close()
