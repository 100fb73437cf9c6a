"""Hugging Face models of a few thousand weights with a tokenizer and a chat template, made on the spot."""

from __future__ import annotations

from pathlib import Path

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers

transformers.utils.logging.disable_progress_bar()
TURNS = ("<|im_start|>", "<|im_end|>")
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + "
    "'<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""As Qwen's models carry it: without generation blocks, and with a line feed behind the end of a turn."""
SIZES = {
    "llama": (transformers.LlamaConfig, {"num_key_value_heads": 2}),
    "qwen2": (transformers.Qwen2Config, {"num_key_value_heads": 2, "tie_word_embeddings": True}),
    "gpt2": (transformers.GPT2Config, {}),
    "gemma2": (transformers.Gemma2Config, {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 5}),
    "opt": (transformers.OPTConfig, {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "bloom": (transformers.BloomConfig, {}),
    "bert": (transformers.BertConfig, {"is_decoder": False}),
}
COMMON = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 128,
}  # fmt: skip
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}


def tiny_model(kind: str, seed: int = 0, vocab_size: int = 258) -> transformers.PreTrainedModel:
    """A network of `kind` with weights large enough that its logits differ."""
    config_class, extra = SIZES[kind]
    named = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), vocab_size - 1)
    config = config_class(vocab_size=vocab_size, **(GPT2 if kind == "gpt2" else COMMON | extra), **named)
    model = transformers.AutoModelForCausalLM.from_config(config)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.15, generator=random)
    return model.eval()


def byte_tokenizer(
    specials: tuple[str, ...] = TURNS, template: str | None = CHATML
) -> transformers.PreTrainedTokenizerFast:
    """A token a byte, and the special ones behind them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = tokenizers.Tokenizer(models.BPE(vocab={piece: index for index, piece in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([tokenizers.AddedToken(text, special=True, normalized=False) for text in specials])
    named = {"eos_token": specials[-1], "pad_token": specials[-1]} if specials else {}
    whole = transformers.PreTrainedTokenizerFast(tokenizer_object=core, **named)
    if template is not None:
        whole.chat_template = template
    return whole


def write_tiny(
    folder: Path,
    kind: str = "llama",
    *,
    seed: int = 0,
    specials: tuple[str, ...] = TURNS,
    template: str | None = CHATML,
) -> Path:
    """Write the model and its tokenizer to `folder` as Hugging Face does; return it."""
    tiny_model(kind, seed, 256 + len(specials)).save_pretrained(folder)
    byte_tokenizer(specials, template).save_pretrained(folder)
    return folder
