"""Where a run computes, and what it says of a device that is not there."""

from __future__ import annotations

import pytest
import torch

from clew.core.errors import ClewError, UsageError
from clew.recipes.base import Training
from clew.training.devices import Placement, pays_to_compile, placement

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_alone_a_process_leads_and_sums_and_shares_with_itself():
    with placement(Training(device="cpu", precision="float32", threads=1)) as place:
        assert (place.leads, place.rank, place.world) == (True, 0, 1)
        assert place.describe() == {
            "device": "cpu",
            "name": "cpu",
            "precision": "float32",
            "processes": 1,
            "threads": 1,
        }
        assert torch.equal(place.sum(torch.tensor([2.0])), torch.tensor([2.0]))
        assert place.share({"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("warp", "There is no device 'warp'"),
        ("cuda:99", "This machine has no device 'cuda:99'"),
        ("meta", "This machine has no device 'meta'"),
    ],
)
def test_a_device_that_is_not_there_is_named(name, said):
    with pytest.raises(UsageError, match=said), placement(Training(device=name)):
        pass


def test_bfloat16_is_used_in_the_forward_pass_and_not_for_weights():
    layer = torch.nn.Linear(4, 4)
    with Placement(CPU, torch.bfloat16).autocast():
        assert layer(torch.ones(1, 4)).dtype == torch.bfloat16
    with Placement(CPU, torch.float32).autocast():
        assert layer(torch.ones(1, 4)).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


def test_compiling_is_decided_by_the_recipe_or_by_the_work_ahead(monkeypatch, tmp_path):
    for chosen, flops in (("yes", 1.0), ("no", 1e30)):
        assert pays_to_compile(Training(compile=chosen), CPU, flops) == (chosen == "yes")
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert [pays_to_compile(Training(), CPU, flops) for flops in (1e12, 1e16)] == [False, True]
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("PATH", "")
    assert not pays_to_compile(Training(), CPU, 1e30), "without a compiler it never is"


def test_a_process_of_a_group_that_is_not_there_says_how_to_start_one(monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    training = Training(device="cpu", threads=1)
    with (
        pytest.raises(ClewError, match=r"Process 0 of 2 could not join the others: .* with torchrun"),
        placement(training),
    ):
        pass
