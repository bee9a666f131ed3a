"""Indexing: embedded videos become the points of a new collection, which then goes live."""

import time
from dataclasses import asdict, replace
from typing import Any

from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.cluster import connect
from cico_platform.corpus.manifest import MANIFEST_FILE, Clip, Corpus
from cico_platform.errors import CicoError
from cico_platform.index.base import VectorIndex, open_index
from cico_platform.index.clips import IndexedClip
from cico_platform.index.serving_info import DEFAULT_ALIAS, ServingInfo, read_serving
from cico_platform.index.writer import BATCH, IndexWriter
from cico_platform.pipelines.calibrating import calibrate_collection
from cico_platform.pipelines.embed import check_searchable, embed_videos, model_alpha, open_model
from cico_platform.pipelines.stored_features import read_info
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, content_key, fingerprint
from cico_platform.storage import Place, on_this_machine

STAGE = "index"
DEFAULT_FPS = 25.0


def build_index(
    corpus: str | Place,
    features: str | Place,
    model: str | Place,
    index: str | Place,
    collection: str = DEFAULT_ALIAS,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Embed a corpus' sentence clips and make them searchable.

    The new collection is named by what it was built from; `collection` is the alias that moves to it once
    it is whole. The same inputs again do nothing, and a build that was cut goes on.

    Parameters
    ----------
    features
        Folder that `extract_features` wrote.
    model
        Retrieval model.
    index
        Folder of an embedded index, or URL of a Qdrant server.

    Returns
    -------
    Summary
        Clips indexed; skipped: indexed already; quarantined: without features. Details: `collection`,
        `index`, `calibrations` of a search by `text` and by `video`: empty where the validation split is too
        small or its scores tell nothing.

    Raises
    ------
    InputError
        If the inputs don't fit together.
    """
    began, source, info = time.monotonic(), Corpus(corpus), read_info(features)
    clips = {clip.video_id: clip for clip in source.clips(labelled=False)}
    config = check_searchable(model, open_model(model, features, int(info["dim"])))
    key = content_key(
        manifest=fingerprint(source.path / MANIFEST_FILE),
        features=fingerprint(features),
        model=fingerprint(model),
    )
    alpha = model_alpha(model)
    serving = ServingInfo(
        f"{collection}-{key}",
        config.embed_dim,
        str(model),
        tuple(encoder["path"] for encoder in info["encoders"]),
        float(info["alpha"]) if alpha is None else alpha,
        str(source.info().get("name") or source.path.resolve().name),
    )
    with open_index(str(index)) as opened:
        done, skipped = _fill(
            opened, serving, collection, (source, clips), (features, model, key), on_progress
        )
        calibrations = read_serving(opened, serving.collection).calibrations
    lost = len(clips) - done - skipped
    seconds = round(time.monotonic() - began, 3)
    details = {
        "collection": serving.collection,
        "index": str(index),
        "calibrations": {way: asdict(one) for way, one in calibrations.items()},
    }
    return Summary(done, skipped, lost, seconds, details)


def _fill(
    index: VectorIndex,
    serving: ServingInfo,
    alias: str,
    corpus: tuple[Corpus, dict[str, Clip]],
    inputs: tuple[str | Place, str | Place, str],
    on_progress: OnProgress | None,
) -> tuple[int, int]:
    """Write what is missing; returns how many clips were written and how many were there."""
    source, clips = corpus
    features, model, model_id = inputs
    if index.alias(alias) == serving.collection:
        return 0, index.count(serving.collection)
    connect()
    with IndexWriter(index, serving, alias) as writer:
        there = writer.present() & set(clips)
        writer.keep(sorted(there))
        waiting: list[IndexedClip] = []
        done = 0
        for row in embed_videos(features, model, serving.alpha):
            clip = clips.get(row["video_id"])
            if clip is None or clip.video_id in there:
                continue
            payload = {**_payload(source, clip, row["window_starts"]), "model_id": model_id}
            waiting.append(IndexedClip(clip.video_id, row["tokens"], payload))
            done += 1
            if len(waiting) == BATCH:
                writer.add(waiting)
                waiting = []
            if on_progress:
                on_progress(done + len(there), len(clips))
        writer.add(waiting)
        calibrations = calibrate_collection(
            index, serving.collection, load_retrieval_model(on_this_machine(model))
        )
        writer.info = replace(serving, calibrations=calibrations)
    if not done + len(there):
        raise CicoError(f"none of the clips of '{source.path}' has features in '{features}'")
    return done, len(there)


def _payload(corpus: Corpus, clip: Clip, window_starts: list[int]) -> dict[str, Any]:
    """What people filter by and see of a clip; what is not known is absent."""
    fps = clip.fps or DEFAULT_FPS
    duration = clip.frames / fps if clip.frames else None
    if clip.end is not None:
        duration = clip.end - (clip.start or 0.0)
    known = {
        **asdict(clip),
        "path": corpus.resolve(clip),
        "fps": fps,
        "duration": duration,
        "window_starts": window_starts,
    }
    return {name: value for name, value in known.items() if value is not None}
