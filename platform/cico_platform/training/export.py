"""Export: a checkpoint as a folder to publish, with a model card and the encoders as graphs."""

import json
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field

from cico_model.card import METRICS, WAYS, CardDetails
from cico_model.export import export_model
from cico_model.graphs import GraphError
from cico_platform.errors import CicoError, InputError
from cico_platform.settings import Settings
from cico_platform.steps import Summary, content_key, fingerprint, run_step
from cico_platform.storage import Place, on_this_machine, place, working_copy

STAGE = "export"
ExportFormat = Literal["safetensors", "onnx", "openvino"]
FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)


class ExportSettings(Settings):
    """What is exported, and what the model card says that the checkpoint doesn't know.

    Attributes
    ----------
    formats
        "onnx" and "openvino" add the encoders as graphs; the weights are always there as safetensors.
    weights
        "float16" halves the file; whoever loads it computes in float32 again.
    name
        Of the model; that of the folder if it is empty.
    license
        Identifier such as "apache-2.0"; left to be filled in if it is empty.
    languages
        ISO 639 codes of the texts' languages and the sign languages.
    dataset
        What the report was measured on.
    """

    formats: tuple[ExportFormat, ...] = Field(default=("safetensors",), min_length=1)
    weights: Literal["float32", "float16"] = "float32"
    name: str = ""
    license: str = ""
    languages: tuple[str, ...] = ()
    dataset: str = ""


def export(
    model: str | Place,
    out: str | Place,
    settings: ExportSettings | None = None,
    report: str | Path | None = None,
) -> Summary:
    """Export a retrieval model or a sign encoder; `cico_model.load` reads the folder.

    Parameters
    ----------
    model
        Its checkpoint.
    out
        Becomes `model.safetensors`, `config.json`, the tokenizer's or the labels' files, `README.md`, and a
        folder for each graph format.
    report
        `report.json` of `cico evaluate`, for the model card.

    Returns
    -------
    Summary
        Details: `formats`, and `graphs`: each one's `file`, `inputs`, `outputs` and `difference` to PyTorch.

    Raises
    ------
    InputError
        If there is no checkpoint, the report cannot be read, or a format's packages are not installed.
    CicoError
        If a graph does not say what PyTorch says.
    """
    settings = settings or ExportSettings()
    details = CardDetails(
        name=settings.name or place(out).name,
        license=settings.license,
        languages=settings.languages,
        dataset=settings.dataset,
        report=None if report is None else _report(report),
    )
    local = on_this_machine(model)
    if not local.is_dir():
        raise InputError(f"'{model}' is no checkpoint folder")
    key = content_key(
        step=STAGE, model=fingerprint(local), settings=settings.model_dump(), card=vars(details)
    )
    graphs = [name for name in dict.fromkeys(settings.formats) if name != "safetensors"]

    def body(folder: Place) -> Summary:
        try:
            with working_copy(folder) as working:
                written = export_model(local, working, graphs, details, half=settings.weights == "float16")
        except GraphError as error:
            raise CicoError(f"'{model}': {error}; nothing was exported") from error
        except (ValueError, OSError) as error:
            raise InputError(f"'{model}' cannot be exported: {error}") from error
        return Summary(details={"formats": ["safetensors", *graphs], "graphs": written})

    return run_step(out, STAGE, key, body)


def _report(file: str | Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(place(file).read_text(encoding="utf-8"))
        keys = [("split",), ("texts",), ("videos",), *((way, name) for way in WAYS for name in METRICS)]
        for key in keys:
            reduce(getitem, key, report)
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"'{file}' is no report.json of 'cico evaluate': {what}") from error
    return report
