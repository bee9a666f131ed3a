"""Weights of others as checkpoint folders: published sign encoders and towers, and CLIP to start from."""

import json
from pathlib import Path

from torch import Tensor

from cico_model.checkpoint import import_sign_encoder, save_sign_encoder
from cico_model.clip_import import FRESH, import_clip, is_clip
from cico_model.retrieval_checkpoint import import_retrieval_model, save_retrieval_model
from cico_model.weights import read_weights
from cico_platform.errors import InputError
from cico_platform.steps import Summary, content_key, fingerprint, run_step
from cico_platform.storage import Place, working_copy

STAGE = "import-weights"
SIGN_ENCODER_KEY = "Conv3d_1a_7x7.conv3d.weight"
TOWERS_KEY = "visual.conv1.weight"


def import_weights(file: str | Path, out: str | Place, labels: str | Path | None = None) -> Summary:
    """Read a weights file, find out what it holds, and write it as a checkpoint folder.

    Parameters
    ----------
    file
        `.safetensors`, or what `torch.save` wrote; nothing but tensors is unpickled. Known are the published
        I3D and CiCo checkpoints, and CLIP with a vision transformer (OpenAI's and transformers' names).
    out
        Becomes the checkpoint.
    labels
        Of a sign encoder: a text file with one sign a line, in the order of its classes, or a JSON list.
        Without it they are numbered.

    Returns
    -------
    Summary
        Details: `kind` ("sign_encoder", "retrieval" or "clip"), `weights` (how many), and `fresh`: the names
        of those that start fresh.

    Raises
    ------
    InputError
        If the file cannot be read, is of no known kind, or its weights don't fit: the key is named.
    """
    try:
        weights = read_weights(file)
    except (ValueError, FileNotFoundError) as error:
        raise InputError(str(error)) from error
    key = content_key(step=STAGE, file=fingerprint(file), labels=labels and fingerprint(labels))

    def body(folder: Place) -> Summary:
        try:
            with working_copy(folder) as local:
                return _write(local, weights, Path(file), labels)
        except ValueError as error:
            raise InputError(f"'{file}': {error}") from error

    return run_step(out, STAGE, key, body)


def _write(folder: Path, weights: dict[str, Tensor], file: Path, labels: str | Path | None) -> Summary:
    origin = {"imported_from": file.name}
    fresh: list[str] = []
    if SIGN_ENCODER_KEY in weights:
        kind, encoder = "sign_encoder", import_sign_encoder(weights)
        save_sign_encoder(folder, encoder, _labels(labels, encoder.num_classes), origin)
    elif is_clip(weights):
        kind, fresh = "clip", list(FRESH)
        save_retrieval_model(folder, import_clip(weights), {**origin, "fresh": fresh})
    elif TOWERS_KEY in weights:
        kind = "retrieval"
        save_retrieval_model(folder, import_retrieval_model(weights), origin)
    else:
        some = ", ".join(f"'{name}'" for name in sorted(weights)[:3]) or "nothing"
        raise ValueError(f"neither a sign encoder nor towers: it holds {some}")
    if labels is not None and kind != "sign_encoder":
        raise ValueError(f"only a sign encoder has labels; these are weights of kind '{kind}'")
    return Summary(details={"kind": kind, "weights": len(weights), "fresh": fresh})


def _labels(file: str | Path | None, classes: int) -> list[str]:
    if file is None:
        return [str(number) for number in range(classes)]
    try:
        text = Path(file).read_text(encoding="utf-8")
        found = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"the labels '{file}' cannot be read: {error}") from error
    labels = [str(label).strip() for label in found]
    if len(labels) != classes or len(set(labels)) != classes or not all(labels):
        raise InputError(
            f"'{file}' has {len(labels)} labels ({len(set(labels))} different); "
            f"{classes} different ones are needed"
        )
    return labels
