"""Policy/value nets: a perceptron for small boards, a residual tower for the rest (He et al. 2016; Silver et al. 2017).

Both take the observation of the replay database as it stands, float32 [batch, obs_size], and need to know the sizes
alone, so a net can be made for any game that a database describes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

NORM_EPS = 1e-5
"""Added to the variance in batch normalisation."""


@dataclass(frozen=True, kw_only=True)
class PolicyValueConfig:
    """Sizes of a net and of the game that it is for."""

    kind: Literal["mlp", "tower"]
    width: int
    """Hidden units of the perceptron, or channels of the tower."""
    depth: int
    """Hidden layers of the perceptron, or residual blocks of the tower."""
    board_width: int
    board_height: int
    num_actions: int
    obs_size: int
    legal_mask_offset: int

    @property
    def cells(self) -> int:
        """Cells of the board."""
        return self.board_width * self.board_height

    @property
    def two_sided(self) -> bool:
        """Whether an observation is [first's cells | second's cells | legal mask | one-hot(player to move)].

        Then the net turns it round so that it always looks from the side of the player to move: what is learnt for
        one seat holds for the other.
        """
        return self.legal_mask_offset == 2 * self.cells and self.obs_size == 2 * self.cells + self.num_actions + 2


class PolicyValueNet(nn.Module):
    """`forward(observation [batch, obs_size])` -> raw policy logits [batch, num_actions], values [batch] in (-1, 1)."""

    def __init__(self, config: PolicyValueConfig) -> None:
        super().__init__()
        self.config = config
        self.body: nn.Module = _Perceptron(config) if config.kind == "mlp" else _Tower(config)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        logits, value = self.body(seen_by_mover(observation, self.config))
        return logits, torch.tanh(value.float()).squeeze(-1)

    def initialise(self, random: torch.Generator) -> None:
        """Draw the weights: He et al. 2015 for what a ReLU follows, zero for what ends a residual branch or a head."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                fan_in = module.weight[0].numel()
                nn.init.normal_(module.weight, std=(2.0 / fan_in) ** 0.5, generator=random)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Heads begin near zero: an even policy and a draw, whatever the position.
        for name in ("policy", "value"):
            last = getattr(self.body, name)
            nn.init.normal_(last.weight, std=0.01, generator=random)


def seen_by_mover(observation: Tensor, config: PolicyValueConfig) -> Tensor:
    """Of a two-sided observation, the cells [batch, 2 cells] of the player to move and of the other; else all of it."""
    if not config.two_sided:
        return observation
    cells = config.cells
    first, second = observation[:, :cells], observation[:, cells : 2 * cells]
    second_moves = observation[:, -1:]
    swap = (second - first) * second_moves
    return torch.cat((first + swap, second - swap), dim=1)


class _Perceptron(nn.Module):
    def __init__(self, config: PolicyValueConfig) -> None:
        super().__init__()
        width = config.width
        seen = 2 * config.cells if config.two_sided else config.obs_size
        self.hidden = nn.ModuleList([nn.Linear(seen if layer == 0 else width, width) for layer in range(config.depth)])
        self.policy_hidden = nn.Linear(width, width // 2)
        self.value_hidden = nn.Linear(width, width // 2)
        self.policy = nn.Linear(width // 2, config.num_actions)
        self.value = nn.Linear(width // 2, 1)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.hidden:
            seen = torch.relu(layer(seen))
        policy, value = torch.relu(self.policy_hidden(seen)), torch.relu(self.value_hidden(seen))
        return self.policy(policy), self.value(value)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(width, eps=NORM_EPS)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(x + self.second_norm(self.second(inner)))


class _Tower(nn.Module):
    """Convolutions of 3 x 3 over the board. What is no plane of cells enters as planes of one value each."""

    POLICY_CHANNELS = 16
    VALUE_CHANNELS = 8

    def __init__(self, config: PolicyValueConfig) -> None:
        super().__init__()
        self._height, self._width, self._cells = config.board_height, config.board_width, config.cells
        self._planes = 2 if config.two_sided else config.legal_mask_offset // config.cells
        extras = 0 if config.two_sided else config.obs_size - self._planes * config.cells
        width = config.width
        self.stem = nn.Conv2d(self._planes + extras, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width, eps=NORM_EPS)
        self.blocks = nn.ModuleList([_Block(width) for _ in range(config.depth)])
        self.policy_conv = nn.Conv2d(width, self.POLICY_CHANNELS, 1, bias=False)
        self.policy_norm = nn.BatchNorm2d(self.POLICY_CHANNELS, eps=NORM_EPS)
        self.value_conv = nn.Conv2d(width, self.VALUE_CHANNELS, 1, bias=False)
        self.value_norm = nn.BatchNorm2d(self.VALUE_CHANNELS, eps=NORM_EPS)
        self.policy = nn.Linear(self.POLICY_CHANNELS * config.cells, config.num_actions)
        self.value_hidden = nn.Linear(self.VALUE_CHANNELS * config.cells, 64)
        self.value = nn.Linear(64, 1)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        cut = self._planes * self._cells
        planes = seen[:, :cut].unflatten(1, (self._planes, self._height, self._width))
        if seen.shape[1] > cut:
            extras = seen[:, cut:, None, None].expand(-1, -1, self._height, self._width)
            planes = torch.cat((planes, extras), dim=1)
        x = torch.relu(self.stem_norm(self.stem(planes)))
        for block in self.blocks:
            x = block(x)
        policy = torch.relu(self.policy_norm(self.policy_conv(x))).flatten(1)
        value = torch.relu(self.value_norm(self.value_conv(x))).flatten(1)
        return self.policy(policy), self.value(torch.relu(self.value_hidden(value)))
