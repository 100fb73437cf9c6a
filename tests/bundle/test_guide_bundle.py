"""Guides as hosts load them: the contract's names, what each action is, faults in sentences, hot reload."""

import json
import os

import numpy as np
import onnx
import pytest
import torch

from clew.bundle.guide import NOTE, OUTPUTS, GuideModel, HotGuide
from clew.core import files
from clew.core.errors import BundleError
from clew.export.guide import observations, publish_guide
from clew.models.guide import GuideConfig, GuideNet

CONFIG = GuideConfig(input_dim=6, action_dim=3, hidden=(8,))
NAMES = ["sort", "reverse", "input0"]


def net_of(seed=0, config=CONFIG):
    net = GuideNet(config)
    net.initialise(torch.Generator().manual_seed(seed))
    for head in (net.policy, net.value, net.guard, net.latency):
        torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(seed))
    net.set_normalisation(np.arange(6.0), np.arange(1.0, 7.0))
    return net


def write(path, net, names=NAMES):
    note = json.dumps({"actions": {"kind": "grammar", "names": names}})
    publish_guide(net, path, observations(net), {NOTE: note})
    return path


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "model.onnx", net_of())


def test_a_host_gets_what_torch_computes_for_any_batch(file):
    net, model = net_of(), GuideModel(file)
    for batch in (1, 2, 33):
        seen = np.random.default_rng(batch).normal(size=(batch, 6)).astype(np.float32) * 5
        with torch.no_grad():
            expected = net(torch.from_numpy(seen))
        for found, right in zip(model.evaluate(seen), expected, strict=True):
            np.testing.assert_allclose(found, right.numpy(), atol=1e-5)


def test_an_empty_batch_gives_empty_scores(file):
    said = GuideModel(file).evaluate(np.empty((0, 6), np.float32))
    assert [each.shape for each in said] == [(0, 3), (0,), (0,), (0,)]


def test_the_file_itself_has_the_names_of_the_contract_and_says_what_actions_are(file):
    graph = onnx.load(str(file)).graph
    assert (
        [each.name for each in graph.output] == list(OUTPUTS) == ["policy_logits", "value", "guard_logits", "latency"]
    )
    assert GuideModel(file).actions == ("sort", "reverse", "input0")


def test_a_guide_of_other_actions_is_refused_naming_the_first(file):
    model = GuideModel(file)
    model.check_fits("the grammar small", input_dim=6, actions=NAMES)
    with pytest.raises(BundleError, match="its action 1 is 'reverse', where the grammar small has 'drop'"):
        model.check_fits("the grammar small", input_dim=6, actions=["sort", "drop", "input0"])
    with pytest.raises(BundleError, match="it takes 6 numbers and rates 3 actions, but the grammar full has 9 and 3"):
        model.check_fits("the grammar full", input_dim=9, actions=NAMES)


@pytest.mark.parametrize("where", [10, 1000, -80, -1])
def test_a_file_altered_by_one_byte_is_refused(file, where):
    content = bytearray(file.read_bytes())
    content[where] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(BundleError):
        GuideModel(file)


def test_a_file_cut_short_is_refused(file):
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BundleError, match=r"model\.onnx"):
        GuideModel(file)


def test_a_missing_file_is_told_with_what_makes_one(tmp_path):
    with pytest.raises(BundleError, match=r"There is no model .*clew export"):
        GuideModel(tmp_path / "none")


def test_a_model_of_another_family_is_no_guide(tmp_path):
    from tiny_nets import write_random_net

    with pytest.raises(BundleError, match="is no guide: it has observation, policy_logits, value where"):
        GuideModel(write_random_net(tmp_path / "game.onnx", "tictactoe"))


def test_a_folder_whose_manifest_tells_of_another_file_is_refused(file):
    files.write_json(file.parent / "bundle.json", {"files": {"model.onnx": "0" * 64}})
    with pytest.raises(BundleError, match="not the model whose hash"):
        GuideModel(file.parent)


def test_a_hot_guide_takes_the_newer_file_and_keeps_the_old_one_when_the_new_is_broken(file):
    hot = HotGuide(file.parent)
    assert hot.refresh()
    assert not hot.refresh(), "nothing changed"
    before, seen = hot.model, observations(net_of())
    file.write_bytes(b"half a file")
    assert not hot.refresh()
    assert hot.model is before
    assert "model.onnx" in (hot.problem or "")
    write(file, net_of(seed=1))
    assert hot.refresh()
    assert hot.problem is None
    assert not np.allclose(hot.model.evaluate(seen).value, before.evaluate(seen).value)


def test_a_hot_guide_refuses_one_of_another_grammar_and_goes_on(file):
    def check(model):
        model.check_fits("the grammar small", input_dim=6, actions=NAMES)

    hot = HotGuide(file, check=check)
    assert hot.refresh()
    write(file, net_of(seed=1), names=["sort", "reverse", "drop"])
    os.utime(file, ns=(1, 1))
    assert not hot.refresh()
    assert "action 2 is 'drop'" in (hot.problem or "")
