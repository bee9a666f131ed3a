"""A checkpoint as a folder to publish: weights, settings, tokenizer, model card, encoders as graphs."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from cico_model.card import CardDetails, model_card
from cico_model.checkpoint import read_config, save_sign_encoder
from cico_model.graphs import (
    GraphFormat,
    check_formats,
    retrieval_graphs,
    sign_encoder_graph,
    write_graphs,
)
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import load, save_retrieval_model

CARD_FILE = "README.md"
FORMATS: tuple[GraphFormat, ...] = get_args(GraphFormat)
# An absolute path of some machine, or a URL.
PLACE = re.compile(r"(/|~|[A-Za-z]:[\\/]|[a-z0-9]+://).*")


def export_model(
    checkpoint: str | Path,
    out: str | Path,
    formats: Sequence[GraphFormat] = (),
    details: CardDetails | None = None,
    *,
    half: bool = False,
) -> list[dict[str, Any]]:
    """Write what others need of a checkpoint; `load` reads the folder as it reads the checkpoint.

    Parameters
    ----------
    checkpoint
        Folder of a retrieval model or a sign encoder.
    out
        Becomes `model.safetensors`, `config.json`, the tokenizer's or the labels' files and `README.md`. Of
        paths and URLs in the checkpoint's description only the last part stays: they name somebody's machine.
    formats
        "onnx", "openvino": the encoders (both towers, or the sign encoder) go into folders of these names,
        with free axes for batch, time and length.
    details
        For the card; it is named like `out` without them.
    half
        Store the weights as float16. Graphs stay in float32.

    Returns
    -------
    list of dict
        Each graph's `file`, `inputs`, `outputs` and `difference`, the largest one to PyTorch.

    Raises
    ------
    ValueError
        If there is no checkpoint, or a format is unknown or its packages are not installed.
    GraphError
        If a graph does not say what PyTorch says.
    """
    check_formats(formats)
    out = Path(out)
    found = load(checkpoint)
    metadata = portable(read_config(checkpoint).get("metadata") or {})
    out.mkdir(parents=True, exist_ok=True)
    if isinstance(found, RetrievalModel):
        kind, config = "retrieval", asdict(found.config)
        graphs = retrieval_graphs(found) if formats else []
    else:
        kind, config = "sign_encoder", asdict(found[0].config)
        graphs = [sign_encoder_graph(found[0])]
    written: list[dict[str, Any]] = []
    for graph in graphs if formats else ():
        for file, difference in write_graphs(graph, formats, out).items():
            sides = {"inputs": graph.inputs, "outputs": graph.outputs}
            written.append({"file": file, **sides, "difference": difference})
    if isinstance(found, RetrievalModel):
        save_retrieval_model(out, found, metadata, half=half)
    else:
        save_sign_encoder(out, *found, metadata, half=half)
    description = {"kind": kind, "config": config, "metadata": metadata}
    card = model_card(description, written, details or CardDetails(out.resolve().name))
    (out / CARD_FILE).write_text(card, encoding="utf-8")
    return written


def portable(value: Any) -> Any:
    """A checkpoint's description without the folders of the machine that made it.

    >>> portable({"features": {"path": "/home/me/encoders/agnostic", "alpha": 0.8}})
    {'features': {'path': 'agnostic', 'alpha': 0.8}}
    """
    if isinstance(value, dict):
        return {key: portable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [portable(inner) for inner in value]
    if isinstance(value, str) and PLACE.fullmatch(value):
        return re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return value
