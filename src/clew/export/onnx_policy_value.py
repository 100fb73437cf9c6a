"""A policy/value net as an ONNX file of the contract: traced, compared with torch, then published."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from clew.bundle.policy_value import OBSERVATION, POLICY_LOGITS, VALUE
from clew.export import traced
from clew.export.traced import Parity, Traced
from clew.models.policy_value import PolicyValueConfig, PolicyValueNet


def publish_policy_value(
    net: PolicyValueNet, path: Path, observations: NDArray[np.float32], metadata: Mapping[str, str]
) -> Parity:
    """Write `net` to `path` as ONNX, whole and verified on `observations` [positions, obs_size], or not at all.

    `metadata` is where it comes from; it goes into the file with the figures of the comparison.
    Raises `BundleError` with the figures when ONNX Runtime does not give what torch gives, or prefers another legal
    move, and for a net that is not finite.
    """
    return traced.publish(
        _graph_of(net.config),
        net,
        path,
        {OBSERVATION: observations},
        choices={POLICY_LOGITS: legal_moves(observations, net.config)},
        metadata=metadata,
    )


def policy_value_to_onnx(net: PolicyValueNet) -> onnx.ModelProto:
    """Return `net` in evaluation mode as ONNX, each weight as it is. Raises `BundleError` for one that is no number."""
    return _graph_of(net.config).with_weights(net)


def legal_moves(observations: NDArray[np.float32], config: PolicyValueConfig) -> NDArray[np.bool_]:
    """bool [positions, num_actions]: the legal mask that stands in the observations."""
    legal: NDArray[np.bool_] = observations[:, config.legal_mask_offset :][:, : config.num_actions] > 0.5
    return legal


def evaluate_in_torch(
    net: PolicyValueNet, observations: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits and values by torch in float32, the net in evaluation mode meanwhile."""
    device = next(net.parameters()).device
    with traced.evaluating(net):
        logits, values = net(torch.from_numpy(observations).to(device))
    return logits.float().cpu().numpy(), values.float().cpu().numpy()


@lru_cache(maxsize=16)
def _graph_of(config: PolicyValueConfig) -> Traced:
    return traced.trace(
        PolicyValueNet(config),
        {OBSERVATION: torch.zeros(2, config.obs_size)},
        (POLICY_LOGITS, VALUE),
        name="policy_value",
        arrange=_as_in_the_contract,
    )


def _as_in_the_contract(outputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    logits, value = outputs
    return logits, value.unsqueeze(1)
