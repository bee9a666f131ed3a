"""What an index is filled from: a corpus, its features and a model, and what each clip is known by."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cico_platform.corpus.framing import framing_of
from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.corpus.manifest_rows import Rows, manifest_rows
from cico_platform.encoding.clip_encoder import VideoEncoding
from cico_platform.errors import InputError
from cico_platform.index.serving_info import ServingInfo
from cico_platform.index.token_storage import TokenStorage
from cico_platform.pipelines.changed_clips import check_unchanged
from cico_platform.pipelines.clip_table import ROWS_PER_TASK, ClipTable, sentences, table_of
from cico_platform.pipelines.embed import check_searchable, model_alpha, open_model
from cico_platform.pipelines.ledgers import read_folder_ledger
from cico_platform.pipelines.stored_features import read_info
from cico_platform.pipelines.workers import on_workers
from cico_platform.schemas.clips import MANIFEST_SCHEMA, people_of
from cico_platform.steps import content_key, fingerprint
from cico_platform.storage import Place, absolute, place

# Keys of so many times 4,096 clips are computed by threads of this process: starting Ray would take longer.
CHUNKS_HERE = 2
# In every recipe since layout 4: migrated collections hold the same tokens.
TOKENS_LAYOUT = 4


@dataclass(frozen=True)
class Source:
    """A corpus' sentence clips with what makes points of them.

    Attributes
    ----------
    clips
        Their keys change when a clip's features or its row of the manifest do.
    windows
        int32 [N]: how many windows of each clip have features; 0 where it has none.
    info
        What a collection of them is built with.
    """

    corpus: Corpus
    features: str
    clips: ClipTable
    windows: NDArray[np.int32]
    info: ServingInfo

    def __len__(self) -> int:
        return len(self.clips)

    def people(self) -> Iterator[tuple[str, list[str]]]:
        """Name each clip and the people whom it shows."""
        table = self.corpus.table(["signer", "participants"]).take(pa.array(self.clips.rows))
        columns = (self.clips.video_ids, table["signer"], table["participants"])
        for first in range(0, len(self), ROWS_PER_TASK):
            some = (column.slice(first, ROWS_PER_TASK).to_pylist() for column in columns)
            for name, signer, others in zip(*some, strict=True):
                yield name, people_of(signer, others)

    def without(self, video_ids: set[str]) -> "Source":
        """The source as if these clips were not in the manifest."""
        gone = self.clips.positions(pa.array(sorted(video_ids), pa.string()))
        kept = np.setdiff1d(np.arange(len(self.clips)), gone)
        clips = self.clips.select(kept)
        return replace(self, clips=clips, windows=self.windows[kept], info=_named(self.info, clips))


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
    done = ledger.done()
    clips, windows = _keyed(source, name, table_of(done), done["windows"])
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
    return Source(source, str(features), clips, windows, _named(serving, clips))


def _keyed(
    corpus: Corpus, name: str, features: ClipTable, windows: pa.ChunkedArray
) -> tuple[ClipTable, NDArray[np.int32]]:
    """The sentence clips of a corpus, with the keys of their points, and how many windows each has."""
    names, rows = sentences(corpus)
    held = features.positions(names)
    at = pa.array(np.maximum(held, 0), mask=held < 0)
    known = features.keys.take(at)
    counts = np.asarray(pc.fill_null(windows.take(at), 0), dtype=np.int32)
    parts = [
        np.arange(len(rows))[first : first + ROWS_PER_TASK] for first in range(0, len(rows), ROWS_PER_TASK)
    ]
    chunks = [_Chunk(rows[part], known.take(pa.array(part))) for part in parts]
    keys: dict[int, pa.StringArray] = {}
    find = partial(_point_keys, corpus=absolute(corpus.path), name=name)
    here = len(chunks) <= CHUNKS_HERE
    for (number, _), found in on_workers(find, list(enumerate(chunks)), here):
        keys[number] = found
    joined = pa.concat_arrays([pa.array([], pa.string()), *(keys[number] for number in range(len(chunks)))])
    return ClipTable(names, joined, rows), counts


@dataclass(frozen=True)
class _Chunk:
    """Rows of the manifest, and the key of each clip's features, None where there are none."""

    rows: Rows
    features: pa.StringArray


def _point_keys(item: tuple[int, _Chunk], corpus: str, name: str) -> pa.StringArray:
    chunk, source = item[1], Corpus(corpus)
    table = manifest_rows(corpus, chunk.rows, MANIFEST_SCHEMA.names)
    clips = [Clip(**row) for row in table.to_pylist()]
    keys = [
        content_key(features=key, clip=asdict(clip), path=_location(source, clip), corpus=name)
        for clip, key in zip(clips, chunk.features.to_pylist(), strict=True)
    ]
    return pa.array(keys, pa.string())


def _location(corpus: Corpus, clip: Clip) -> str:
    """Return the absolute path of a clip; the path in the manifest if it leads out of the corpus folder."""
    try:
        return corpus.resolve(clip)
    except InputError:
        return clip.path


def _named(info: ServingInfo, clips: ClipTable) -> ServingInfo:
    content = content_key(recipe=info.recipe, clips=clips.digest(), encoding=asdict(info.encoding))
    return replace(info, collection=f"{info.alias}-{content}", content=content)
