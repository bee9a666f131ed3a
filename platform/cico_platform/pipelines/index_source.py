"""What an index is filled from: a corpus, its features and a model, and what each clip is known by."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from cico_platform.corpus.framing import framing_of
from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.corpus.manifest_rows import Rows, manifest_rows
from cico_platform.encoding.clip_encoder import VideoEncoding
from cico_platform.errors import InputError
from cico_platform.index.clips import IndexedClip
from cico_platform.index.serving_info import ServingInfo
from cico_platform.index.texts import with_text_key
from cico_platform.index.token_storage import TokenStorage, merge_tokens
from cico_platform.pipelines.changed_clips import check_unchanged
from cico_platform.pipelines.clip_table import ROWS_PER_TASK, ClipTable, sentences, table_of
from cico_platform.pipelines.embed import check_searchable, embed_videos, model_alpha, open_model
from cico_platform.pipelines.ledgers import read_folder_ledger
from cico_platform.pipelines.stored_features import read_info
from cico_platform.pipelines.workers import on_workers
from cico_platform.schemas.clips import MANIFEST_SCHEMA, people_of
from cico_platform.schemas.tokens import ClipTokens
from cico_platform.steps import content_key, fingerprint
from cico_platform.storage import Place, absolute, place

# Keys of so many times 4,096 clips are computed by threads of this process: starting Ray would take longer.
CHUNKS_HERE = 2
# In every recipe since layout 4: migrated collections hold the same tokens.
TOKENS_LAYOUT = 4
DEFAULT_FPS = 25.0
# Seconds: a quarter of a frame.
SAME_TIME = 0.01


@dataclass(frozen=True)
class Source:
    """A corpus' sentence clips with what makes points of them.

    Attributes
    ----------
    clips
        Their keys change when a clip's features or its row of the manifest do.
    info
        What a collection of them is built with.
    """

    corpus: Corpus
    features: str
    clips: ClipTable
    info: ServingInfo

    def __len__(self) -> int:
        return len(self.clips)

    def people(self) -> Iterator[tuple[str, list[str]]]:
        """Name each clip and the people whom it shows."""
        table = self.corpus.table(["signer", "participants"]).take(pa.array(self.clips.rows))
        columns = (self.clips.video_ids, table["signer"], table["participants"])
        for name, signer, others in zip(*(column.to_pylist() for column in columns), strict=True):
            yield name, people_of(signer, others)

    def without(self, video_ids: set[str]) -> "Source":
        """The source as if these clips were not in the manifest."""
        gone = self.clips.positions(pa.array(sorted(video_ids), pa.string()))
        clips = self.clips.select(np.setdiff1d(np.arange(len(self.clips)), gone))
        return replace(self, clips=clips, info=_named(self.info, clips))

    def points(self, only: set[str]) -> Iterator[IndexedClip]:
        """Those of these clips that have features, embedded by workers."""
        names = sorted(only)
        found = self.clips.positions(pa.array(names, pa.string())).tolist()
        place_of = dict(zip(names, found, strict=True))  # looking up a batch costs what all clips do
        for batch in embed_videos(self.features, self.info.model, self.info.alpha, only):
            positions = np.array([place_of[row.video_id] for row in batch], dtype=np.int64)
            table = manifest_rows(self.corpus.path, self.clips.rows[positions], MANIFEST_SCHEMA.names)
            keys = self.clips.keys.take(pa.array(positions)).to_pylist()
            for row, clip, key in zip(batch, table.to_pylist(), keys, strict=True):
                yield self._point(row, Clip(**clip), key)

    def _point(self, row: ClipTokens, clip: Clip, key: str) -> IndexedClip:
        tokens, starts = merge_tokens(row.tokens, row.window_starts.tolist(), self.info.merge)
        payload = _payload(self.corpus, clip, starts, _times_by_start(row))
        payload |= {"clip_key": key, "model_id": self.info.recipe}
        return IndexedClip(clip.video_id, tokens, with_text_key(payload))


def read_source(
    corpus: str | Place,
    features: str | Place,
    model: str | Place,
    alias: str,
    storage: TokenStorage | None = None,
) -> Source:
    """Read what an index is to be filled from.

    Raises
    ------
    InputError
        If the inputs don't fit together, or clips have changed since their features were computed.
    """
    source, info = Corpus(corpus), read_info(features)
    check_unchanged(corpus, features, "cico features")
    config = check_searchable(model, open_model(model, features, info.dim))
    trained = model_alpha(model)
    alpha = info.alpha if trained is None else trained
    about = source.info()
    ledger = read_folder_ledger(place(features))
    made = ledger.recipe or fingerprint(features)  # an older folder has no ledger
    name = str(about.get("name") or source.path.resolve().name)
    storage = storage or TokenStorage()
    recipe = content_key(
        features=made, model=fingerprint(model), alpha=alpha, storage=asdict(storage), layout=TOKENS_LAYOUT
    )
    clips = _keyed(source, name, table_of(ledger.done()))
    crops = source.table(["crop"])["crop"].take(pa.array(clips.rows))
    encoders = tuple(encoder.path for encoder in info.encoders)
    serving = ServingInfo(
        "",
        config.embed_dim,
        str(model),
        encoders,
        alpha,
        name,
        alias,
        recipe,
        features=absolute(features),
        quantization=storage.quantization,
        merge=storage.merge,
        encoding=VideoEncoding(
            info.stride,
            info.windows,
            info.precision,
            framing_of((crop.as_py() for crop in crops), bool(about.get("trim", True))),
        ),
    )
    return Source(source, str(features), clips, _named(serving, clips))


def _keyed(corpus: Corpus, name: str, features: ClipTable) -> ClipTable:
    """The sentence clips of a corpus, with the keys of their points."""
    names, rows = sentences(corpus)
    held = features.positions(names)
    known = features.keys.take(pa.array(np.maximum(held, 0), mask=held < 0))
    chunks = [
        _Chunk(rows[first : first + ROWS_PER_TASK], known.slice(first, ROWS_PER_TASK).to_pylist())
        for first in range(0, len(rows), ROWS_PER_TASK)
    ]
    keys: dict[int, list[str]] = {}
    find = partial(_point_keys, corpus=absolute(corpus.path), name=name)
    here = len(chunks) <= CHUNKS_HERE
    for (number, _), found in on_workers(find, list(enumerate(chunks)), here):
        keys[number] = found
    joined = [key for number in range(len(chunks)) for key in keys[number]]
    return ClipTable(names, pa.array(joined, pa.string()), rows)


@dataclass(frozen=True)
class _Chunk:
    """Rows of the manifest, and the key of each clip's features, None where there are none."""

    rows: Rows
    features: list[str | None]


def _point_keys(item: tuple[int, _Chunk], corpus: str, name: str) -> list[str]:
    chunk, source = item[1], Corpus(corpus)
    table = manifest_rows(corpus, chunk.rows, MANIFEST_SCHEMA.names)
    clips = [Clip(**row) for row in table.to_pylist()]
    return [
        content_key(features=key, clip=asdict(clip), path=_location(source, clip), corpus=name)
        for clip, key in zip(clips, chunk.features, strict=True)
    ]


def _location(corpus: Corpus, clip: Clip) -> str:
    """Return the absolute path of a clip; the path in the manifest if it leads out of the corpus folder."""
    try:
        return corpus.resolve(clip)
    except InputError:
        return clip.path


def _named(info: ServingInfo, clips: ClipTable) -> ServingInfo:
    content = content_key(recipe=info.recipe, clips=clips.digest(), encoding=asdict(info.encoding))
    return replace(info, collection=f"{info.alias}-{content}", content=content)


def _times_by_start(row: ClipTokens) -> dict[int, tuple[float, float]]:
    """Begin and end of each window, by its first frame; empty where an earlier version did not store them."""
    spans = [(begin, end) for begin, end in row.window_times.tolist()]
    return dict(zip(row.window_starts.tolist(), spans, strict=False))


def _payload(
    corpus: Corpus, clip: Clip, window_starts: list[int], times: Mapping[int, tuple[float, float]]
) -> dict[str, Any]:
    """What people filter by and see of a clip; what is not known is absent."""
    fps = clip.fps or DEFAULT_FPS
    # The last window ends with the clip.
    duration = times[max(times)][1] if times else clip.frames / fps if clip.frames else None
    if clip.end is not None:
        duration = clip.end - (clip.start or 0.0)
    known = {
        **asdict(clip),
        "path": corpus.resolve(clip),
        "fps": fps,
        "duration": duration,
        "window_starts": window_starts,
    }
    # Times that a constant rate tells anyway would only make answers of a server larger.
    if any(abs(times[s][0] - s / fps) > SAME_TIME for s in window_starts if s in times):
        known["window_times"] = [round(time, 4) for s in window_starts for time in times[s]]
    return {name: value for name, value in known.items() if value is not None}
