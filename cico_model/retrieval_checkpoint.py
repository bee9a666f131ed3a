"""Save and load retrieval models: `config.json`, `model.safetensors` and the tokenizer's files."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from cico_model.checkpoint import load_sign_encoder
from cico_model.config import TowerConfig
from cico_model.model import RetrievalModel
from cico_model.sign_encoder import SignEncoder
from cico_model.text import ClipTokenizer, load_tokenizer
from cico_model.tower_import import build_towers
from cico_model.weights import check_weights, half_precision, load_weights, unwrap

KIND = "retrieval"
PUBLISHED_CONTEXT = 32  # tokens of a text, even where the text tower has positions for more
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"


def save_retrieval_model(
    folder: str | Path,
    model: RetrievalModel,
    metadata: Mapping[str, Any] | None = None,
    *,
    half: bool = False,
) -> None:
    """Write a retrieval model to a folder, `config.json` last: a folder that has it is whole.

    With `half` the weights are stored as float16: half the size, read as any other.

    Raises
    ------
    ValueError
        If a weight is too large for float16.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    model.tokenizer.save(folder)
    save_file(half_precision(weights) if half else weights, folder / WEIGHTS_FILE)
    config = {"kind": KIND, "config": asdict(model.config), "metadata": dict(metadata or {})}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2, default=str), encoding="utf-8")


def load_retrieval_model(folder: str | Path) -> RetrievalModel:
    """Read a retrieval model, in evaluation mode.

    Raises
    ------
    ValueError
        If the folder holds none, or a weight is missing, unknown or of a wrong shape: the key is named.
    """
    folder = Path(folder)
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise ValueError(f"'{folder}' is not a checkpoint: it has no {CONFIG_FILE}")
    description = json.loads(file.read_text(encoding="utf-8"))
    if description.get("kind") != KIND:
        raise ValueError(f"'{folder}' holds a {description.get('kind')}, not a retrieval model")
    known = {field.name for field in fields(TowerConfig)}
    unknown = sorted(set(description["config"]) - known)
    if unknown:
        raise ValueError(f"'{file}' has settings that this version doesn't know: {', '.join(unknown)}")
    with torch.device("meta"):  # nothing is drawn at random that is overwritten next
        model = RetrievalModel(TowerConfig(**description["config"]), load_tokenizer(folder))
    weights = load_weights(folder / WEIGHTS_FILE)
    check_weights(model.state_dict(), weights)
    model.load_state_dict(weights, assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model.eval()


def import_retrieval_model(state_dict: Mapping[str, Any]) -> RetrievalModel:
    """A published retrieval checkpoint as a whole model, with CLIP's tokenizer and its learned scale.

    It compares as it was trained: padding takes part in the softmax (quirk 1).

    Raises
    ------
    ValueError
        As `import_towers` does, or if the scale is missing.
    """
    weights = unwrap(state_dict)
    if "logit_scale" not in weights:
        raise ValueError("the checkpoint lacks the weight 'logit_scale'")
    positions = weights.get("positional_embedding")
    if positions is not None and len(positions) > PUBLISHED_CONTEXT:
        weights["positional_embedding"] = positions[:PUBLISHED_CONTEXT]
    towers = build_towers(weights)
    model = RetrievalModel(replace(towers[0].config, mask_padding=False), ClipTokenizer(), towers)
    with torch.no_grad():
        model.logit_scale.copy_(weights["logit_scale"])
    return model.eval()


def load(folder: str | Path) -> RetrievalModel | tuple[SignEncoder, list[str]]:
    """What a checkpoint folder holds: a retrieval model, or a sign encoder and its labels.

    Raises
    ------
    ValueError
        If it holds neither, or is damaged.
    """
    file = Path(folder) / CONFIG_FILE
    kind = json.loads(file.read_text(encoding="utf-8")).get("kind") if file.is_file() else None
    return load_sign_encoder(folder) if kind == "sign_encoder" else load_retrieval_model(folder)
