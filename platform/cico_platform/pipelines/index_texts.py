"""The texts of a collection, built beside its clips: by this process, or by workers where they are many."""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.encoding.texts import TextQuery, encode_texts
from cico_platform.index.base import VectorIndex, is_url, open_index
from cico_platform.index.server_settings import PREFIX
from cico_platform.index.serving_info import ServingInfo
from cico_platform.index.text_writer import (
    Encode,
    TextCounts,
    build_graph,
    check_texts,
    groups_of_parts,
    update_texts,
)
from cico_platform.index.texts import texts_of
from cico_platform.pipelines.workers import on_workers
from cico_platform.storage import absolute, on_this_machine

# The texts of so many clips are written by this process: starting Ray would take longer.
CLIPS_HERE = 20_000
# Texts that a task encodes, and those that go through the model together.
A_TASK, A_BATCH = 256, 64


def write_texts(index: VectorIndex, info: ServingInfo, model: RetrievalModel | None = None) -> TextCounts:
    """Make the texts of a filled collection what its clips say.

    Texts that are there are not encoded again, so a run that was cut goes on. Where they are many, workers
    read, encode and write the texts of a collection on a server, each some parts of it. An embedded one has
    one owner, who reads and writes them; workers encode.

    Parameters
    ----------
    model
        The retrieval model of `info`; loaded if it is needed and not given.

    Raises
    ------
    CicoError
        If the collection does not hold exactly these texts afterwards.
    """
    index.create(texts_of(info.collection), info.dim)
    clips = index.count(info.collection)
    groups = groups_of_parts(clips)
    counts = TextCounts()
    if clips > CLIPS_HERE and is_url(index.location):
        settings = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
        work = partial(_update_part, settings, index.location, info.collection, absolute(info.model))
        for _, some in on_workers(work, groups, here=False):
            counts = counts.plus(some)
    else:
        encode: Encode = partial(_encode, info.model)
        if clips > CLIPS_HERE:
            encode = partial(_encode_on_workers, absolute(info.model))
        elif model is not None:
            encode = partial(_encode_with, model)
        for group in groups:
            counts = counts.plus(update_texts(index, info.collection, encode, group))
    check_texts(index, info.collection, counts.texts)
    build_graph(index, info.collection)
    return counts


def _update_part(
    settings: Mapping[str, str], location: str, collection: str, model: str, parts: Sequence[str]
) -> TextCounts:
    for name, value in settings.items():  # a node's own count: folders may be elsewhere there
        os.environ.setdefault(name, value)
    with open_index(location) as index:
        return update_texts(index, collection, partial(_encode, model), parts)


def _encode_on_workers(model: str, texts: Sequence[str]) -> list[TextQuery]:
    batches = [(first, texts[first : first + A_TASK]) for first in range(0, len(texts), A_TASK)]
    done = on_workers(partial(_encode_task, model), batches, here=len(batches) <= 1)
    return [query for _, queries in sorted(done, key=lambda one: one[0][0]) for query in queries]


def _encode_task(model: str, batch: tuple[int, Sequence[str]]) -> list[TextQuery]:
    return _encode(model, batch[1])


def _encode(model: str, texts: Sequence[str]) -> list[TextQuery]:
    return _encode_with(_model(model), texts)


def _encode_with(model: RetrievalModel, texts: Sequence[str]) -> list[TextQuery]:
    batches = (texts[first : first + A_BATCH] for first in range(0, len(texts), A_BATCH))
    return [query for batch in batches for query in encode_texts(model, batch)]


@lru_cache(maxsize=1)
def _model(folder: str) -> RetrievalModel:
    return load_retrieval_model(on_this_machine(folder))
