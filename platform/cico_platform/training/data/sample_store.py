"""A sample store: the frames of training segments as JPEG in sharded files, read by index."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cico_platform.errors import CicoError
from cico_platform.storage import place
from cico_platform.training.data.frame_codec import Frames, decode_frame
from cico_platform.training.data.sample_index import SampleIndex
from cico_platform.training.data.shard_files import ADVICE, open_shards


class SampleStore:
    """An open store that `build_sample_store` wrote. Safe to use from several threads.

    Its memory does not grow with the number of samples: the index is mapped, frames are read when needed.

    Parameters
    ----------
    folder
        Folder or URL. Shards behind a URL are copied to this machine when they are first needed.
    cache_bytes
        Most bytes of such copies; None: 80% of the free disk.
    key
        Of the samples that it must hold (`StoreSummary.key`); "" takes any.

    Raises
    ------
    CicoError
        If it is no whole store, or holds other samples.
    """

    def __init__(self, folder: str, cache_bytes: int | None = None, key: str = "") -> None:
        path, self.shards = open_shards(place(folder), cache_bytes)
        self.index = SampleIndex(path)
        if key and self.index.key != key:
            raise CicoError(
                f"'{folder}' holds the samples of another training by now; give the same command again, "
                "with a folder of its own (--samples)"
            )
        self.size = self.index.settings.size

    def __len__(self) -> int:
        return len(self.index)

    def label(self, sample: int) -> str:
        """The sign of a sample."""
        return self.index.labels[int(self.index.label_numbers[sample])]

    def frame_count(self, sample: int) -> int:
        """Return the number of frames of a sample."""
        return int(self.index.frame_counts[sample])

    def read(self, sample: int, frames: Sequence[int] | NDArray[np.int64] | None = None) -> Frames:
        """Frames of a sample, uint8 [N, S, S, 3] RGB: those with these indices, or all.

        Raises
        ------
        CicoError
            If the store is damaged or cannot be read.
        """
        wanted = range(self.frame_count(sample)) if frames is None else frames
        out = np.empty((len(wanted), self.size, self.size, 3), np.uint8)
        self.read_into(sample, wanted, out)
        return out

    def read_into(self, sample: int, frames: Sequence[int] | NDArray[np.int64], out: Frames) -> None:
        """`read` into an array. A frame that is wanted several times in a row is decoded once."""
        offsets = self.index.offsets(sample)
        first, last = int(min(frames)), int(max(frames))
        begin = int(offsets[first])
        shard = self.index.shards[self.index.shard_numbers[sample]]
        data = memoryview(self.shards.read(shard, begin, int(offsets[last + 1]) - begin))
        before = -1
        for row, frame in enumerate(frames):
            if frame == before:
                out[row] = out[row - 1]
            elif not decode_frame(data[offsets[frame] - begin : offsets[frame + 1] - begin], out[row]):
                where = f"frame {frame} of '{self.index.video_id(sample)}' in shard '{shard.name}'"
                raise CicoError(f"{where} is damaged; {ADVICE}")
            before = frame

    def read_backdrop(self, sample: int, out: Frames) -> None:
        """The still background of a sample, uint8 [S, S, 3]; the store was built with `backdrop`."""
        self.read_into(sample, [self.frame_count(sample)], out[None])

    def close(self) -> None:
        """Remove the copies of remote shards on this machine."""
        self.shards.close()
