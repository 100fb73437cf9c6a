"""A model or a batch that has no room: a sentence that says what to make smaller."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clew.core.errors import ClewError
from clew.training.torch_backend import enough_memory


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.empty(2**46),
        lambda: torch.empty(2**40, 2**40),
        lambda: torch.empty(2**62, 2**62),
        lambda: np.empty(2**46),
        lambda: np.empty((2**40, 2**40)),
        lambda: np.empty(2**62),
    ],
)
def test_what_has_no_room_is_told(make):
    with pytest.raises(ClewError, match="not enough memory for this model and batch"), enough_memory():
        make()


def test_another_error_stays_what_it_is():
    with pytest.raises(RuntimeError, match="must match"), enough_memory():
        torch.zeros(2) + torch.zeros(3)
