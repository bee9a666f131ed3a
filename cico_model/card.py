"""The model card of an exported model: what it is, where it came from, how well it does, how to load it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LIBRARY = "cico"
METRICS = ("R@1", "R@5", "R@10", "MedR", "MeanR")
WAYS = {"t2v": "text to video", "v2t": "video to text"}
WHAT = {
    "retrieval": "A sign language retrieval model: it finds the sign video that says a sentence, and the "
    "sentence that a video signs. Its two towers turn sign features (one a window of 16 frames) and texts "
    "into tokens; every sign is compared with every word.",
    "sign_encoder": "A sign encoder: it turns a window of 16 frames of a sign video into scores of the signs "
    "that it knows, and into a sign feature for a retrieval model.",
}
USE = {
    "retrieval": "Search in collections of sign videos by sentence or by video; research on retrieval. "
    "Scores rank candidates; they are no probabilities. It reads the features of the sign encoder that it "
    "was trained with, and of no other.",
    "sign_encoder": "Sign features for retrieval, spotting of signs in videos, research. Scores are over the "
    "signs of `labels.json` only: a sign that is not among them is given to one that is.",
}
LIMITS = (
    "It is no translator and no interpreter, and must not stand in for one.",
    "It knows the sign language, the signers and the filming of its training data. Elsewhere it does worse, "
    "by an amount that only a test on your own clips can tell.",
    "Videos show people. Ask them, and do not use the model to identify or to judge a signer.",
)
LOADING = {
    "retrieval": """\
import torch
import cico_model

model = cico_model.load(".")  # this folder
features = torch.rand(1, 20, {features})  # one video of 20 windows: what its sign encoder says of each
valid = torch.ones(1, 20, dtype=torch.bool)
with torch.no_grad():
    videos = model.encode_video(features, valid)
    texts = model.encode_text(["the sister found the book", "it rains"])
scores = model.scores(videos, texts.tokens, model.video_mask(valid), texts.valid)  # [videos, texts]
""",
    "sign_encoder": """\
import torch
import cico_model

encoder, labels = cico_model.load(".")  # this folder
clips = torch.rand(2, 3, 16, {frame}, {frame}) - 0.5  # windows of 16 RGB frames, in [-0.5, 0.5]
with torch.no_grad():
    logits, features = encoder(clips)
signs = [labels[i] for i in logits.argmax(dim=1)]
""",
}


@dataclass(frozen=True)
class CardDetails:
    """What a model card says that a checkpoint doesn't know.

    Attributes
    ----------
    name
        Of the model.
    license
        Identifier as model hubs have it, such as "apache-2.0"; left to be filled in where it is empty.
    languages
        Codes of the texts' languages and of the sign languages, such as "en" and "ase" (ISO 639).
    dataset
        What `report` was measured on.
    report
        The content of `report.json` of `cico evaluate`.
    """

    name: str
    license: str = ""
    languages: Sequence[str] = ()
    dataset: str = ""
    report: Mapping[str, Any] | None = None


def model_card(
    description: Mapping[str, Any], graphs: Sequence[Mapping[str, Any]], details: CardDetails
) -> str:
    """The README of an exported model, with the front matter that model hubs read.

    Parameters
    ----------
    description
        Content of the checkpoint's `config.json`.
    graphs
        `file`, `inputs`, `outputs` and `difference` of each graph beside the weights.
    details
        What the person who exports says.
    """
    kind, metadata = description["kind"], description["metadata"]
    parts = [f"# {details.name}", WHAT[kind]]
    if metadata.get("fresh"):
        names = ", ".join(f"`{name}`" for name in metadata["fresh"])
        parts.append(f"**To be trained first:** {names} start fresh, the rest is CLIP's.")
    parts += ["## Intended use", USE[kind], "## Limits", "\n".join(f"- {limit}" for limit in LIMITS)]
    parts += ["## Training", _training(metadata)]
    if details.report is not None:
        parts += ["## Evaluation", _evaluation(details)]
    parts += ["## How to load it", _loading(kind, description["config"])]
    if graphs:
        parts += ["## Without PyTorch", _graphs(graphs)]
    parts += ["## Licence", _licence(details.license)]
    return f"---\n{_front_matter(kind, details)}\n---\n\n" + "\n\n".join(parts) + "\n"


def _front_matter(kind: str, details: CardDetails) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    results = []
    for way, title in WAYS.items():
        for metric in METRICS if details.report else ():
            results.append(
                EvalResult(
                    task_type="retrieval",
                    task_name=title,
                    dataset_type=_slug(details.dataset or "unnamed"),
                    dataset_name=details.dataset or "unnamed corpus",
                    dataset_split=str(details.report["split"]),  # type: ignore[index]
                    metric_type=metric,
                    metric_name=metric,
                    metric_value=details.report[way][metric],  # type: ignore[index]
                )
            )
    data = ModelCardData(
        license=details.license or None,
        language=list(details.languages) or None,
        library_name=LIBRARY,
        tags=["sign-language", "video-retrieval" if kind == "retrieval" else "sign-recognition", "cico"],
        pipeline_tag="feature-extraction",
        model_name=details.name if results else None,
        eval_results=results or None,
        ignore_metadata_errors=False,
    )
    missing = [] if details.license else ["# license: to be filled in"]
    return "\n".join([*missing, str(data.to_yaml())])


def _training(metadata: Mapping[str, Any]) -> str:
    if not metadata:
        return "The checkpoint says nothing of its training."
    origin = metadata.get("imported_from")
    said = f"Imported from `{origin}`. " if origin else ""
    listing = json.dumps(metadata, indent=2, ensure_ascii=False, default=str)
    return f"{said}What the checkpoint says of it:\n\n```json\n{listing}\n```"


def _evaluation(details: CardDetails) -> str:
    report = details.report
    assert report is not None
    place = f"the split `{report['split']}` of {details.dataset or 'a corpus that was not named'}"
    lines = [
        f"On {place}: {report['texts']} texts, {report['videos']} videos. R@k in per cent; in brackets the "
        "95% intervals of a bootstrap over the queries.",
        "",
        f"| | {' | '.join(METRICS)} |",
        f"| --- {'| --- ' * len(METRICS)}|",
    ]
    for way, title in WAYS.items():
        cells = []
        for metric in METRICS:
            interval = report.get("intervals", {}).get(way, {}).get(metric)
            spread = f" ({interval[0]:g}-{interval[1]:g})" if interval else ""
            cells.append(f"{report[way][metric]:g}{spread}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _loading(kind: str, config: Mapping[str, Any]) -> str:
    code = LOADING[kind].format(features=config.get("feature_dim"), frame=config.get("frame_size"))
    return f"```python\n{code}```"


def _graphs(graphs: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "The encoders as graphs, float32. Axes with a letter are free: B the batch, T a video's windows, L a "
        "text's tokens; token ids come from the tokenizer, and 0 fills a batch up. Each file was run beside "
        "PyTorch on random input when it was written.",
        "",
        "| file | inputs | outputs | largest difference |",
        "| --- | --- | --- | --- |",
    ]
    for graph in graphs:
        sides = [
            ", ".join(f"`{name}` [{', '.join(map(str, shape))}]" for name, shape in graph[side].items())
            for side in ("inputs", "outputs")
        ]
        lines.append(f"| `{graph['file']}` | {sides[0]} | {sides[1]} | {graph['difference']:.1e} |")
    return "\n".join(lines)


def _licence(name: str) -> str:
    return name or "To be filled in by whoever publishes this, here and in the first lines of this file."


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "unnamed"
