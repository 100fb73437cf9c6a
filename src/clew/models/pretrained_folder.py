"""The folder of a Hugging Face causal language model: found by its path or its id, and checked before torch reads it.

Weights are read from safetensors alone, and no code that comes with a model is run.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import ClewError, EvidenceError, UsageError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model",
)  # fmt: skip
_MADE_OF = ["*.safetensors", INDEX, CONFIG, ADAPTER_CONFIG, *TOKENIZER_FILES]
_FETCHED = [*_MADE_OF, "generation_config.json"]
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Place:
    """Where a model lies."""

    name: str
    """As the user gave it: a path or an id."""
    folder: Path
    revision: str | None
    """The commit of an id's files; None for a folder of the user's."""

    @property
    def is_adapter(self) -> bool:
        """Whether adapters lie here, and not a whole model."""
        return files.is_file(self.folder / ADAPTER_CONFIG) and not files.is_file(self.folder / CONFIG)

    def sha256(self) -> str:
        """The hash of all that the model is made of: weights, sizes, tokenizer, template."""
        made_of = {path for pattern in _MADE_OF for path in self.folder.glob(pattern)}
        return files.sha256_of(
            files.canonical_json({files.printable(path.name): _sha256(path) for path in sorted(made_of)})
        )


def _sha256(path: Path) -> str:
    with files.sentences_for(path, "read"):
        seen = path.stat()
    return _hashed(path, seen.st_size, seen.st_mtime_ns, seen.st_ino)


@lru_cache(maxsize=256)
def _hashed(path: Path, *stamp: int) -> str:
    """The hash of a file as it was at that stamp: gigabytes are hashed once a process, not at each opening."""
    return files.sha256_of_file(path)


def library(name: str, purpose: str) -> Any:
    """The module `name` of the extra `hf`. Raises `ClewError` with the line that installs it."""
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise ClewError(f"{purpose} needs {name}. Install it with: pip install 'clew[hf]'.") from error
    if name == "transformers":
        # What it warns of is either checked here or of no consequence.
        module.utils.logging.set_verbosity_error()
        module.utils.logging.disable_progress_bar()
    return module


def find_model(name: str, *, revision: str | None = None) -> Place:
    """The folder of the model `name`: a path, or the id of a model on the Hugging Face hub, at `revision`.

    An id is taken from the cache of huggingface_hub or fetched into it; with HF_HUB_OFFLINE set, nothing is fetched.
    Raises `EvidenceError` where it is neither, `UsageError` for a revision of a folder.
    """
    folder = Path(name).expanduser()
    if files.is_folder(folder):
        if revision:
            raise UsageError(f"{name} is a folder, which has no revisions: leave the revision {revision} out.")
        return Place(name, folder, _snapshot_of(folder))
    if files.exists(folder):
        raise EvidenceError(f"{name} is a file. A model is a folder with {CONFIG} and {WEIGHTS}: name the folder.")
    if not _ID.fullmatch(name):
        raise EvidenceError(
            f"There is no folder {name}, and it is no id of a model on the Hugging Face hub (such as "
            "HuggingFaceTB/SmolLM2-135M-Instruct) either. Check the path."
        )
    folder = _fetched(name, revision)
    return Place(name, folder, _snapshot_of(folder))


def _snapshot_of(folder: Path) -> str | None:
    resolved = folder.absolute()
    return resolved.name if resolved.parent.name == "snapshots" and _COMMIT.fullmatch(resolved.name) else None


def _fetched(name: str, revision: str | None) -> Path:
    hub = library("huggingface_hub", f"The model {name}, which is no folder here,")
    errors: Any = importlib.import_module("huggingface_hub.errors")
    fetch: dict[str, Any] = {"revision": revision, "allow_patterns": _FETCHED}
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if revision and _COMMIT.fullmatch(revision):
        try:  # A commit does not change: what lies in the cache is right, and nobody needs to be asked.
            return Path(hub.snapshot_download(name, **fetch, local_files_only=True))
        except (OSError, ValueError):
            pass
    what = f"{name} at the revision {revision}" if revision else name
    advice = (
        f"Fetch it once where there is a network (`hf download {name}`), or copy its folder here and name the folder."
    )
    try:
        return Path(hub.snapshot_download(name, **fetch))
    except errors.RevisionNotFoundError as error:
        raise EvidenceError(f"The model {name} has no revision {revision} on the hub. Check its spelling.") from error
    except errors.GatedRepoError as error:
        raise EvidenceError(
            f"The model {name} is given only to those who accepted its terms on the hub: accept them, log in with `hf "
            "auth login`, and try again."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise EvidenceError(
            f"There is no folder {name}, and no model of that id on the Hugging Face hub. Check its spelling."
        ) from error
    except (OSError, ValueError) as error:  # offline, no network, no cache, a full disk
        offline = " and HF_HUB_OFFLINE forbids to fetch it" if hub.constants.is_offline_mode() else ""
        reason = "" if offline else f" ({_first_line(error)})"
        raise EvidenceError(
            f"There is no folder {name}, the model {what} is not in the cache of the Hugging Face hub{offline}, and so "
            f"it cannot be read{reason}. {advice}"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]


def check_model(place: Place) -> dict[str, Any]:
    """Check that a causal language model lies at `place`, as far as that can be seen without reading its weights.

    Returns its config.json. Raises `EvidenceError` with what is wrong and what to do.
    """
    folder = place.folder
    if not files.is_file(folder / CONFIG):
        raise EvidenceError(f"{folder} holds no {CONFIG}: it is no folder of a Hugging Face model. Check the path.")
    config = files.read_json(folder / CONFIG, what="the config of a model")
    kind = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(kind, str):
        raise EvidenceError(f"{folder / CONFIG} names no model_type, so nobody can tell which network it is.")
    transformers = library("transformers", f"The model {place.name}")
    auto = importlib.import_module("transformers.models.auto.modeling_auto")
    if kind not in transformers.CONFIG_MAPPING:
        if "auto_map" in config:
            raise EvidenceError(
                f"The model {place.name} (model_type {kind}) comes with Python code of its own, which Clew never runs. "
                "Take a model whose network transformers itself has."
            )
        raise EvidenceError(
            f"transformers {transformers.__version__} has no network of the model_type {kind}, which {folder / CONFIG} "
            "names. Update transformers, or take another model."
        )
    if kind not in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise EvidenceError(
            f"The model {place.name} (model_type {kind}) is no causal language model: it does not write a text token "
            "by token, and so it cannot be trained on conversations. Take one that transformers opens with "
            "AutoModelForCausalLM."
        )
    if config.get("quantization_config"):
        raise EvidenceError(
            f"The weights of {place.name} are quantized, and quantized weights do not train here. Take the model in "
            "float32, float16 or bfloat16."
        )
    _check_weights(place)
    return dict(config)


def base_of(place: Place) -> tuple[str, str | None]:
    """Name and revision of the model that the adapter at `place` was trained over. Raises `EvidenceError`."""
    settings = files.read_json(place.folder / ADAPTER_CONFIG, what="the config of an adapter")
    base = settings.get("base_model_name_or_path") if isinstance(settings, dict) else None
    if not isinstance(base, str) or not base:
        raise EvidenceError(
            f"{place.folder / ADAPTER_CONFIG} does not say over which model the adapter was trained: put its path or "
            "id there as base_model_name_or_path."
        )
    revision = settings.get("revision")
    beside = place.folder / base
    if not Path(base).is_absolute() and not files.is_folder(Path(base)) and files.is_folder(beside):
        base = str(beside)
    return base, revision if isinstance(revision, str) else None


def context_length(config: Mapping[str, Any]) -> int | None:
    """Tokens that the model of this config.json reads at most; None where it does not say."""
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        found = config.get(name)
        if isinstance(found, int) and not isinstance(found, bool) and found > 0:
            return found
    return None


def _check_weights(place: Place) -> None:
    folder = place.folder
    if files.is_file(folder / INDEX):
        index = files.read_json(folder / INDEX, what="the index of a model's weights")
        named = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(named, dict) or not all(isinstance(part, str) for part in named.values()):
            raise EvidenceError(f"{folder / INDEX} names no files of weights: it is damaged. Copy or fetch it again.")
        for part in sorted(set(named.values())):
            if "/" in part or not files.is_file(folder / part):
                raise EvidenceError(
                    f"{folder} lacks the weights {part[:100]}, which its {INDEX} names: the copy is not whole. Copy or "
                    "fetch it again."
                )
        return
    if files.is_file(folder / WEIGHTS):
        return
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
    if pickled:
        raise EvidenceError(
            f"{folder} has its weights as {pickled[0]} and not as {WEIGHTS}. Such a file can run code when it is "
            "opened, so Clew does not open it. Save the model again where you trust it: "
            "model.save_pretrained(FOLDER, safe_serialization=True)."
        )
    raise EvidenceError(f"{folder} holds no weights: there is no {WEIGHTS} in it. Copy or fetch it again.")
