"""What a policy is held against: log-probabilities by what training began with, computed once and kept in the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from clew.core import files
from clew.core.errors import CheckpointError
from clew.traces.preferences.trees import Tokens
from clew.training.devices import Placement

FILE = "reference.safetensors"
_NAME, _OF = "log_probabilities", "fingerprint"


class Reference:
    """The file `reference.safetensors` of a run: float64 [pairs, 2], with the hash of what it was computed of."""

    def __init__(self, folder: Path, pairs: str, made_with: Mapping[str, str], placement: Placement) -> None:
        """`pairs`: fingerprint of the tokens; `made_with`: hashes of tokenizer, template and model."""
        self._path, self._placement = folder / FILE, placement
        self._fingerprint = files.sha256_of(files.canonical_json({"pairs": pairs, **made_with}))
        self._values: Tensor | None = None
        self._sha256: str | None = None
        self._resumes = False

    def state(self) -> dict[str, str]:
        """The file's hash, for a checkpoint."""
        return {"reference_sha256": self._sha256} if self._sha256 else {}

    def must_be(self, sha256: str | None) -> None:
        """From here on the file of this hash has to be there: a run goes on. Raises `CheckpointError`."""
        self._resumes = sha256 is not None
        if sha256 is None:
            return
        if not files.is_file(self._path):
            raise CheckpointError(
                f"There is no {self._path}, which the run's policy is held against. Copy it back: it is not computed "
                "anew, since it might differ."
            )
        if files.sha256_of_file(self._path) != sha256:
            raise CheckpointError(f"{self._path} is not the one that the checkpoint was trained with. Copy it back.")

    def values(self, count: int, compute: Callable[[Tokens], Tensor]) -> Tensor:
        """float64 [count, 2], on the CPU: read from the run, or computed now by all its processes and written there."""
        if self._values is None:
            there: bool = self._placement.share(files.is_file(self._path) if self._placement.leads else None)
            self._values = self._read(count) if there else self._computed(count, compute)
            self._sha256 = self._sha256 or self._shared_hash()
        return self._values

    def _shared_hash(self) -> str:
        found: str = self._placement.share(files.sha256_of_file(self._path) if self._placement.leads else None)
        return found

    def _computed(self, count: int, compute: Callable[[Tokens], Tensor]) -> Tensor:
        place = self._placement
        own = np.arange(place.rank, count, place.world)
        found = compute(own)
        values = found.new_zeros(count, 2)
        values[torch.from_numpy(own).to(place.device)] = found
        values = place.sum(values).cpu()
        if not bool(torch.isfinite(values).all()):
            raise CheckpointError("What training begins with gives log-probabilities that are not finite.")
        if place.leads:
            files.write_bytes(self._path, save({_NAME: values, _OF: self._of()}))
        return values

    def _read(self, count: int) -> Tensor:
        try:
            held = load_file(self._path)
            noted, values = held[_OF], held[_NAME]
        except (SafetensorError, OSError, RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(f"{self._path} cannot be read: {error}. Copy it back.") from error
        if not torch.equal(noted, self._of()) or tuple(values.shape) != (count, 2):
            raise CheckpointError(
                f"{self._path} is of other pairs, another tokenizer or another model than this run's. Copy the run's "
                "own back."
            )
        return values

    def _of(self) -> Tensor:
        """The hash of what it is computed of, as 32 bytes."""
        return torch.tensor(list(bytes.fromhex(self._fingerprint)), dtype=torch.uint8)
