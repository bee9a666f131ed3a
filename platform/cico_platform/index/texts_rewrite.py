"""The texts of a collection that is written anew without some clips: those that only these said are gone."""

from collections.abc import Iterator, Sequence, Set

from cico_platform.errors import InputError
from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import TEXT_KEY, Hit, IndexedClip
from cico_platform.index.serving_info import ServingInfo
from cico_platform.index.text_writer import build_graph, check_texts, write_points
from cico_platform.index.texts import (
    SaidText,
    batches,
    clip_filters,
    query_of,
    read_said,
    text_point,
    texts_of,
)
from cico_platform.index.traces import CLIPS, Traces, traces_of


def keys_said(index: VectorIndex, collection: str, video_ids: Sequence[str]) -> list[str]:
    """The keys of what these clips of a collection say."""
    told = index.fetch(collection, video_ids, fields=(TEXT_KEY,))
    return sorted({str(hit.payload[TEXT_KEY]) for hit in told if TEXT_KEY in hit.payload})


def some_texts(index: VectorIndex, collection: str, keys: Sequence[str]) -> list[Hit]:
    """The points, with tokens, of some of these texts of a collection, spread evenly over all."""
    try:
        return list(index.fetch(texts_of(collection), keys[:: max(1, len(keys) // CLIPS)], tokens=True))
    except InputError:  # it was built without
        return []


def rewrite_texts(
    index: VectorIndex, info: ServingInfo, new: str, touched: Set[str], traces: Traces
) -> Traces:
    """Copy the texts of a collection beside its copy, in which the forgotten clips are not any more.

    No text is encoded. Texts that other clips say too are filtered by what those clips are.

    Parameters
    ----------
    touched
        Keys of what the forgotten clips say.

    Returns
    -------
    Traces
        Those that no text bears that stays.

    Raises
    ------
    CicoError
        If the copy does not hold exactly the texts that stay.
    """
    old = texts_of(info.collection)
    try:
        gone = {hit.video_id for hit in index.fetch(old, sorted(touched), fields=())}
    except InputError:  # it was built without
        return traces
    said: dict[str, SaidText] = {}
    for keys in batches(sorted(gone)):
        said |= read_said(index, new, clip_filters(None, keys))
    gone -= said.keys()

    def kept() -> Iterator[IndexedClip]:
        nonlocal traces
        for hit in index.fetch(old, tokens=True):
            if hit.video_id in gone:
                continue
            traces = traces.without(hit)
            if hit.video_id in touched:
                traces = traces.minus(traces_of([hit], None))
            yield _copy(hit, said.get(hit.video_id))

    index.create(texts_of(new), info.dim)
    write_points(index, texts_of(new), kept())
    check_texts(index, new, index.count(old) - len(gone))
    build_graph(index, new)
    return traces


def _copy(hit: Hit, said: SaidText | None) -> IndexedClip:
    """A text's point as it was, or with what its clips are now."""
    if said is not None:
        return text_point(hit.video_id, said, query_of(hit))
    assert hit.tokens is not None
    payload = {name: value for name, value in hit.payload.items() if name != "video_id"}
    return IndexedClip(hit.video_id, hit.tokens, payload)
