"""What is wrong with a bundle is said before it is used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from clew.bundle.load import load_bundle
from clew.cli.main import main
from clew.core.errors import BundleError
from conftest import byte_tokenizer


@pytest.fixture
def bundle(published: Path, tmp_path: Path) -> Path:
    """A copy of the published bundle that may be broken."""
    return Path(shutil.copytree(published, tmp_path / "bundle"))


def as_foreign(folder: Path) -> Path:
    """What another tool writes: the three files, no bundle.json."""
    (folder / "bundle.json").unlink()
    return folder


def change_config(folder: Path, **values) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def test_a_bundle_of_another_tool_loads_without_a_manifest(bundle):
    loaded = load_bundle(as_foreign(bundle))
    assert loaded.manifest is None
    assert loaded.run(*_one_token(loaded))[0].shape == (1, 1, 256)


def _one_token(loaded):
    return np.array([[64]]), loaded.empty_cache()


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_one_altered_byte_is_noticed(bundle, name):
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} is truncated or was altered"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"lacks {name}"):
        load_bundle(bundle)


@pytest.mark.parametrize("share", [0, 0.3, 0.999])
def test_a_truncated_graph_without_a_manifest_gets_a_sentence(bundle, share):
    content = (bundle / "model.onnx").read_bytes()
    (as_foreign(bundle) / "model.onnx").write_bytes(content[: int(share * len(content))])
    with pytest.raises(BundleError, match="ONNX Runtime cannot load"):
        load_bundle(bundle)


def test_a_tokenizer_of_another_vocabulary_is_refused(bundle):
    byte_tokenizer(extra=256).save(str(as_foreign(bundle) / "tokenizer.json"))
    with pytest.raises(BundleError, match="257 tokens, but the model has 256"):
        load_bundle(bundle)


def test_a_swapped_tokenizer_is_refused_though_hashes_are_not_compared(bundle):
    tokenizer = json.loads((bundle / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"].popitem()
    (bundle / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(BundleError, match="255 tokens, but the model has 256"):
        load_bundle(bundle, verify=False)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"n_layers": 3}, "lacks the input 'past_key_values.2"),
        ({"n_layers": 1}, "has beyond its config the input 'past_key_values.1"),
        ({"n_heads": 2, "head_dim": 16}, "is tensor\\(float\\).*4.*but"),
        ({"vocab_size": 300}, "'logits' is"),
        ({"context_length": "long"}, "'context_length' is 'long', but must be a positive whole number"),
        ({"head_dim": True}, "'head_dim' is True"),
        ({"vocab_size": 10**12}, "'vocab_size' is 1000000000000, but must be"),
        ({"n_layers": 10**7}, "lacks the input 'past_key_values.2"),
    ],
)
def test_a_config_of_another_model_is_refused(bundle, values, sentence):
    change_config(as_foreign(bundle), **values)
    with pytest.raises(BundleError, match=sentence):
        load_bundle(bundle)


def test_a_config_or_manifest_that_is_no_json_gets_a_sentence(bundle):
    (bundle / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match="not valid JSON"):
        load_bundle(bundle)
    (bundle / "bundle.json").write_text("{}")
    with pytest.raises(BundleError, match="does not list the hashes"):
        load_bundle(bundle)
    (as_foreign(bundle) / "config.json").write_text("[]")
    with pytest.raises(BundleError, match="no JSON object"):
        load_bundle(bundle)


def test_a_tokenizer_that_is_none_gets_a_sentence(bundle):
    (as_foreign(bundle) / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleError, match="is not a tokenizer"):
        load_bundle(bundle)


def test_a_folder_that_is_none_gets_a_sentence(tmp_path):
    with pytest.raises(BundleError, match="is not a folder"):
        load_bundle(tmp_path / "nowhere")


def change_graph(folder: Path, change) -> None:
    """Hand the graph of a bundle without a manifest to `change` and write it back."""

    graph = onnx.load(as_foreign(folder) / "model.onnx")
    change(graph.graph)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())


def test_a_size_that_hosts_choose_must_not_be_fixed_in_the_graph(bundle):
    def fix(graph):
        graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1

    change_graph(bundle, fix)
    with pytest.raises(BundleError, match=r"'input_ids' is tensor\(int64\) \['batch', 1\], but .* \['any', 'any'\]"):
        load_bundle(bundle)


def test_what_onnx_runtime_refuses_while_it_runs_gets_a_sentence(bundle):
    loaded = load_bundle(bundle)
    with pytest.raises(BundleError, match=r"model.onnx could not be run on .*input_ids \[1, 1\]"):
        loaded.run(np.array([[256]]), loaded.empty_cache())


@pytest.mark.parametrize("name", [b"input_ids", b"logits", b"batch"])
def test_a_name_in_the_graph_that_is_no_utf8_gets_a_sentence(bundle, name):
    content = (as_foreign(bundle) / "model.onnx").read_bytes()
    (bundle / "model.onnx").write_bytes(content.replace(name, b"\xff" + name[1:]))
    with pytest.raises(BundleError, match=r"UTF-8|cannot load"):
        load_bundle(bundle)


def test_a_model_that_gives_nan_suggests_nothing(bundle, tmp_path, capsys):
    def spoil(graph):
        weights = next(each for each in graph.initializer if each.name == "norm.weight")
        spoilt = np.full(tuple(weights.dims), np.nan, np.float32)
        weights.CopyFrom(onnx.numpy_helper.from_array(spoilt, "norm.weight"))

    change_graph(bundle, spoil)
    loaded = load_bundle(bundle)
    with pytest.raises(BundleError, match=r"model.onnx gives logits that are no numbers"):
        loaded.run(*_one_token(loaded))
    (tmp_path / "prompt").write_text("@G\na = b\n@P\n")
    arguments = ["suggest", str(bundle), "--prompt", str(tmp_path / "prompt"), "--max-tokens", "3"]
    assert main(arguments) == 1
    assert "no token can be drawn" in capsys.readouterr().err
