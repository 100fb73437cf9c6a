"""The same weights as a Hugging Face `LlamaForCausalLM`, for vLLM, llama.cpp and whatever else loads one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from tokenizers import Tokenizer as TokenizerFile
from torch import Tensor

from clew.bundle.chat import TEMPLATE_FILE, ChatTemplate
from clew.bundle.names import CONFIG_FILE, MANIFEST_FILE, TOKENIZER_FILE
from clew.core import files
from clew.core.errors import BundleError
from clew.core.randomness import generator
from clew.export.gpt import FAMILY, load_source
from clew.export.parity import TOLERANCE
from clew.export.source import Source, manifest_json, require
from clew.models.gpt import GPT, NORM_EPS, ROPE_BASE, GPTConfig


def publish_huggingface(source: Source, folder: Path, *, template: ChatTemplate | None = None) -> dict[str, Any]:
    """Write `source` to `folder` as a `LlamaForCausalLM`, whole and verified or not at all; return the manifest.

    `template`: of a chat model, whose turns then end the text that transformers generates.
    `transformers` must load it to the logits of `GPT.forward` within 1e-4. Raises `BundleError` with the figure when
    it does not, `ClewError` when transformers is not installed or the folder cannot be written.
    """
    require(
        "transformers", "hf", "An export for Hugging Face is verified with transformers before it is published, and so"
    )
    loaded = load_source(source)
    with files.whole_folder(folder) as temporary:
        # Not save_file: it words the system's refusals (a full disk) in its own way.
        (temporary / "model.safetensors").write_bytes(save(llama_weights(loaded.model), metadata={"format": "pt"}))
        config, generation = llama_config(loaded.model.config), {"_from_model_config": True, "do_sample": True}
        tokenizer_config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": loaded.model.config.context_length,
            "clean_up_tokenization_spaces": False,
        }
        if template is not None:
            end = TokenizerFile.from_str(loaded.tokenizer).token_to_id(template.end_of_turn)
            # No pad_token_id in the config: transformers would train nothing through the embedding of that token.
            config |= {"eos_token_id": end}
            generation |= {"eos_token_id": end, "pad_token_id": end}
            tokenizer_config |= {"eos_token": template.end_of_turn, "pad_token": template.end_of_turn}
            files.write_text(temporary / TEMPLATE_FILE, template.source)
        files.write_json(temporary / CONFIG_FILE, config)
        files.write_json(temporary / "generation_config.json", {**generation, "temperature": 0.8})
        files.write_text(temporary / TOKENIZER_FILE, loaded.tokenizer)
        files.write_json(temporary / "tokenizer_config.json", tokenizer_config)
        difference = logits_difference(loaded.model, temporary)
        if not difference <= TOLERANCE:
            raise BundleError(
                f"transformers gives logits that differ by {difference:.3g} from torch's (at most {TOLERANCE:g} is "
                "allowed), so nothing was published."
            )
        manifest = manifest_json(source, temporary, family=FAMILY) | {
            "parity": {"tolerance": TOLERANCE, "transformers_max_abs_logits_difference": difference}
        }
        files.write_json(temporary / MANIFEST_FILE, manifest)
    return manifest


def llama_weights(model: GPT) -> dict[str, Tensor]:
    """The GPT's weights under Llama's names: stacked matrices cut into their parts, the tied head left out."""
    config = model.config
    weights = {"model.embed_tokens.weight": model.embedding.weight, "model.norm.weight": model.norm.weight}
    state = model.state_dict()
    for layer in range(config.n_layers):
        ours, theirs = f"blocks.{layer}", f"model.layers.{layer}"
        query, key, value = state[f"{ours}.attention.qkv.weight"].chunk(3)
        gate, up = state[f"{ours}.mlp.gate_up.weight"].chunk(2)
        weights |= {
            f"{theirs}.input_layernorm.weight": state[f"{ours}.attention_norm.weight"],
            f"{theirs}.self_attn.q_proj.weight": query,
            f"{theirs}.self_attn.k_proj.weight": key,
            f"{theirs}.self_attn.v_proj.weight": value,
            f"{theirs}.self_attn.o_proj.weight": state[f"{ours}.attention.out.weight"],
            f"{theirs}.post_attention_layernorm.weight": state[f"{ours}.mlp_norm.weight"],
            f"{theirs}.mlp.gate_proj.weight": gate,
            f"{theirs}.mlp.up_proj.weight": up,
            f"{theirs}.mlp.down_proj.weight": state[f"{ours}.mlp.down.weight"],
        }
    return {name: tensor.detach().float().cpu().clone().contiguous() for name, tensor in weights.items()}


def llama_config(config: GPTConfig) -> dict[str, Any]:
    """`config.json` of the `LlamaForCausalLM`. No token begins, ends or pads a text, and it says so."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_mlp,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.context_length,
        "hidden_act": "silu",
        "rms_norm_eps": NORM_EPS,
        "rope_theta": ROPE_BASE,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_BASE},
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        "initializer_range": 0.02,
        "use_cache": True,
        "torch_dtype": "float32",
    }


def logits_difference(model: GPT, folder: Path) -> float:
    """Largest absolute difference between the logits of `model` and those of `folder` in transformers."""
    import importlib

    # Imported untyped: what from_pretrained returns depends on its flags, and transformers does not say how.
    transformers: Any = importlib.import_module("transformers")
    transformers.utils.logging.disable_progress_bar()
    theirs, report = transformers.LlamaForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    if unmatched := [*report["missing_keys"], *report["unexpected_keys"]]:
        raise BundleError(f"transformers does not find its weights in {folder}: {sorted(unmatched)[0]}.")
    length = min(model.config.context_length, 256)
    tokens = torch.from_numpy(generator(0, "parity").integers(0, model.config.vocab_size, (2, length)))
    with torch.inference_mode():
        return float((model(tokens) - theirs.eval()(tokens).logits).abs().max())
