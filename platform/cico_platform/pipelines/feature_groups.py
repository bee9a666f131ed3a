"""Row groups of a feature folder: which clips they hold, and reading them in workers."""

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cico_platform.pipelines.stored_features import Features, Mix, feature_shards, mixed_features
from cico_platform.pipelines.workers import on_workers
from cico_platform.shard_output import attempt
from cico_platform.storage import Place, absolute, place

# A clip on its way to an embedder, and the row group that holds its features by every encoder.
GROUPS_SCHEMA = pa.schema(
    [
        pa.field("position", pa.int64()),
        pa.field("video_id", pa.string()),
        pa.field("clip_key", pa.string()),
        pa.field("path", pa.string()),
        pa.field("group", pa.int32()),
    ]
)
# Names in so many shards are read by threads of this process.
FILES_HERE = 64


def feature_groups(folder: Place, here: bool) -> pa.Table:
    """Return where the features of each clip are: `video_id`, `path`, `group`, shard by shard."""
    paths = [absolute(path) for path in feature_shards(folder)]
    found = dict(on_workers(_groups_of, paths, here or len(paths) <= FILES_HERE))
    empty = pa.schema([GROUPS_SCHEMA.field(name) for name in ("video_id", "path", "group")]).empty_table()
    return pa.concat_tables([empty, *(found[path] for path in paths)]).combine_chunks()


def _groups_of(path: str) -> pa.Table:
    def read() -> list[pa.Array]:
        with place(path).open("rb") as opened:
            file = pq.ParquetFile(opened)
            names = [
                file.read_row_group(n, columns=["video_id"])["video_id"] for n in range(file.num_row_groups)
            ]
        return [pc.unique(each).cast(pa.string()) for each in names]

    groups = attempt(place(path).parent, read)
    numbers = [number for number, names in enumerate(groups) for _ in names]
    columns = {
        "video_id": pa.concat_arrays([pa.array([], pa.string()), *groups]),
        "path": pa.array([path] * len(numbers), pa.string()),
        "group": pa.array(numbers, pa.int32()),
    }
    return pa.table(columns)


def read_groups(batch: pa.Table, mix: Mix) -> Iterator[Features]:
    """Yield the mixed features of the clips of a batch (`GROUPS_SCHEMA`), row group by row group."""
    wanted: dict[tuple[str, int], list[str]] = {}
    for name, path, group in zip(*(batch[n].to_pylist() for n in ("video_id", "path", "group")), strict=True):
        wanted.setdefault((path, group), []).append(name)
    for (path, group), names in wanted.items():
        table = attempt(place(path).parent, partial(_read_group, path, group))
        keep = pc.is_in(table["video_id"], value_set=pa.array(names, pa.string()))
        yield mixed_features(table.filter(keep), mix)


def _read_group(path: str, group: int) -> pa.Table:
    with place(path).open("rb") as opened:
        return pq.ParquetFile(opened).read_row_group(group)
