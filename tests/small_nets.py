"""A policy/value net for Tic-Tac-Toe that is traced in a second, of one architecture, so that this happens once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from clew.models.policy_value import PolicyValueConfig, PolicyValueNet

TICTACTOE = {"board_width": 3, "board_height": 3, "num_actions": 9, "obs_size": 29, "legal_mask_offset": 18}
SMALL_NET = {"kind": "mlp", "width": 24, "depth": 2, **TICTACTOE}


def small_net(seed: int = 0) -> PolicyValueNet:
    """A net as training begins with it."""
    net = PolicyValueNet(PolicyValueConfig(**SMALL_NET))
    net.initialise(torch.Generator().manual_seed(seed))
    return net


def observations(count: int = 16) -> NDArray[np.float32]:
    """float32 [count, 29]: bits, as of no position."""
    return np.random.default_rng(0).integers(0, 2, (count, 29)).astype(np.float32)
