"""Save and load sign encoders, read published weights; a checkpoint is a folder of safetensors and JSON."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from cico_model.config import SIGN_ENCODERS, SignEncoderConfig
from cico_model.sign_encoder import SignEncoder
from cico_model.weights import check_weights, half_precision, load_weights, unwrap

log = logging.getLogger(__name__)
CONFIG_FILE, WEIGHTS_FILE, LABELS_FILE = "config.json", "model.safetensors", "labels.json"


def save_sign_encoder(
    folder: str | Path,
    encoder: SignEncoder,
    labels: list[str],
    metadata: Mapping[str, Any] | None = None,
    *,
    half: bool = False,
) -> None:
    """Write a sign encoder to a folder: `config.json`, `model.safetensors`, `labels.json`.

    With `half` the weights are stored as float16: half the size, read as any other.

    Raises
    ------
    ValueError
        If there is not one label a class, or a weight is too large for float16.
    """
    if len(labels) != encoder.num_classes:
        raise ValueError(f"{encoder.num_classes} classes need as many labels, not {len(labels)}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {k: v.detach().cpu().contiguous() for k, v in encoder.state_dict().items()}
    save_file(half_precision(weights) if half else weights, folder / WEIGHTS_FILE)
    config = {"kind": "sign_encoder", "config": asdict(encoder.config), "metadata": dict(metadata or {})}
    (folder / LABELS_FILE).write_text(json.dumps(labels, ensure_ascii=False), encoding="utf-8")
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2, default=str), encoding="utf-8")


def load_sign_encoder(folder: str | Path) -> tuple[SignEncoder, list[str]]:
    """Read a sign encoder, in evaluation mode, and its labels.

    Raises
    ------
    ValueError
        If the folder holds no sign encoder.
    """
    folder = Path(folder)
    description = read_config(folder)
    if description.get("kind") != "sign_encoder":
        raise ValueError(f"'{folder}' holds a {description.get('kind')}, not a sign encoder")
    labels: list[str] = json.loads((folder / LABELS_FILE).read_text(encoding="utf-8"))
    encoder = SignEncoder(len(labels), SignEncoderConfig(**description["config"]))
    weights = load_weights(folder / WEIGHTS_FILE)
    check_weights(encoder.state_dict(), weights)
    encoder.load_state_dict(weights)
    return encoder.eval(), labels


def read_config(folder: str | Path) -> dict[str, Any]:
    """The description of a checkpoint folder.

    Raises
    ------
    ValueError
        If it is not a checkpoint folder.
    """
    file = Path(folder) / CONFIG_FILE
    if not file.is_file():
        raise ValueError(f"'{folder}' is not a checkpoint: it has no {CONFIG_FILE}")
    description: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return description


def import_sign_encoder(state_dict: Mapping[str, Any], num_classes: int | None = None) -> SignEncoder:
    """Read published I3D weights.

    Parameters
    ----------
    state_dict
        Tensors under the published names, with or without `module.`, or a checkpoint that holds them
        as `state_dict`. The size is read off the shapes.
    num_classes
        If given and the classifier has another size, the classifier is dropped, and a message says so.

    Raises
    ------
    ValueError
        If a weight is missing, unknown, of a wrong shape or not finite: the key is named, nothing is loaded.
    """
    weights = unwrap(state_dict, ("module.",))
    first, classifier = weights.get("Conv3d_1a_7x7.conv3d.weight"), weights.get("logits.conv3d.weight")
    if first is None:
        raise ValueError("these are not I3D weights: 'Conv3d_1a_7x7.conv3d.weight' is missing")
    for key in ("Conv3d_1a_7x7.conv3d.weight", "logits.conv3d.weight"):
        if key in weights and weights[key].ndim != 5:
            raise ValueError(f"'{key}' has shape {tuple(weights[key].shape)}: not that of a 3D convolution")
    found = None if classifier is None else classifier.shape[0]
    config = next((c for c in SIGN_ENCODERS.values() if c.channels(64) == first.shape[0]), None)
    if config is None:
        raise ValueError(f"no size of the sign encoder has {first.shape[0]} channels in its first layer")
    encoder = SignEncoder(num_classes or found or 1, config)
    if found != encoder.num_classes:
        log.warning("the classifier of %s classes was dropped; %d wanted", found, encoder.num_classes)
        weights = {k: v for k, v in weights.items() if not k.startswith("logits.")}
    wanted = encoder.state_dict()
    no_classifier = not any(k.startswith("logits.") for k in weights)
    optional = [
        k for k in wanted if k.endswith("num_batches_tracked") or (no_classifier and k.startswith("logits."))
    ]
    weights = {**{k: wanted[k] for k in optional}, **weights}
    check_weights(wanted, weights)
    encoder.load_state_dict(weights)
    return encoder
