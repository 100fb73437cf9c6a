"""Whether this machine computes as the one did that made the fixtures: then bits are compared, else figures."""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F


def how_it_computes() -> dict[str, str]:
    """Version of torch, instruction set, and a hash of the bits that a few layers give, forward and backward.

    Only torch is asked, so that no change of Clew's own can turn the comparison of bits off.
    """
    random = torch.Generator().manual_seed(1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        table, inner, head = (torch.randn(shape, generator=random) for shape in ((64, 16), (16, 24), (24, 16)))
        weights = [each.requires_grad_() for each in (table, inner, head)]
        x = F.embedding(torch.randint(64, (4, 32), generator=random), table)
        heads = x.unflatten(-1, (2, 8)).transpose(1, 2)
        x = x + F.scaled_dot_product_attention(heads, heads, heads, is_causal=True).transpose(1, 2).flatten(2)
        x = x + F.silu(F.rms_norm(x, (16,)) @ inner) @ head
        loss = (
            F.cross_entropy((x @ table.T).flatten(0, 1), torch.randint(64, (128,), generator=random)) + x.tanh().mean()
        )
        loss.backward()
        optimizer = torch.optim.AdamW(weights, lr=0.01, fused=True)
        optimizer.step()
        bits = hashlib.sha256()
        for each in (loss, *weights, *(weight.grad for weight in weights)):
            assert each is not None
            bits.update(each.detach().numpy().tobytes())
    finally:
        torch.set_num_threads(threads)
    return {
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bits": bits.hexdigest(),
    }
