"""Cuts: which frames of which clips are training samples, and how they are grouped into shards."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from cico_platform.corpus.manifest import Clip, Corpus, check_unique
from cico_platform.settings import Settings
from cico_platform.steps import content_key
from cico_platform.storage import absolute
from cico_platform.training.data.frame_codec import QUALITY

if TYPE_CHECKING:  # it loads Ray, which a worker that only reads samples does not need
    from cico_platform.pipelines.decode import SourceClip

# Of what a shard holds; shards of another edition are built anew.
EDITION = 2
# A shard of this many segments has 30 to 50 MB at 256 pixels; a small corpus still gives every decoder work.
CUTS_PER_SHARD = 128
LEAST_CUTS_PER_SHARD, LEAST_SHARDS = 8, 16
# Files of up to so many clips of a manifest without keys are opened by threads of this process.
KEYS_HERE = 256


@dataclass(frozen=True)
class Cut:
    """Frames `start` to `end` (None: to the last) of a clip show the sign `label`."""

    video_id: str
    label: str
    start: int = 0
    end: int | None = None


class FrameSettings(Settings):
    """How the frames of a sample store are kept.

    Attributes
    ----------
    size
        Side of the square frames in pixels.
    quality
        Of the JPEG files.
    backdrop
        Whether the still background of each segment is stored beside it (`augmentation.backdrop_of`).
    """

    size: int = Field(ge=1)
    quality: int = Field(default=QUALITY, ge=1, le=100)
    backdrop: bool = False


@dataclass(frozen=True)
class PlannedClip:
    """A clip as a decoding task must know it (`source_rows`), and its cuts."""

    source: "SourceClip"
    cuts: tuple[Cut, ...]


@dataclass(frozen=True)
class ShardPlan:
    """The clips of one shard. The name is a hash of them, their files' versions, cuts and the settings."""

    name: str
    clips: tuple[PlannedClip, ...]


@dataclass(frozen=True)
class StorePlan:
    """All shards of a store, in the order of their samples, and the cuts of clips that the corpus lacks."""

    key: str
    shards: tuple[ShardPlan, ...]
    unknown: tuple[Cut, ...]


def plan_store(corpus: Corpus, cuts: Sequence[Cut], settings: FrameSettings) -> StorePlan:
    """Group cuts into shards; the same corpus, cuts and settings give the same shards anywhere.

    Samples are ordered by `video_id` and start. All cuts of a clip are in one shard: it is decoded once. A
    clip whose file, times or box have changed makes its shard another one.
    """
    from cico_platform.pipelines.decode import source_rows
    from cico_platform.pipelines.stored_features import FEATURES_EDITION

    of_clip: dict[str, list[Cut]] = defaultdict(list)
    for cut in cuts:
        of_clip[cut.video_id].append(cut)
    check_unique(corpus.table(["video_id"])["video_id"], corpus.path)
    found = corpus.clips(named=pa.array(list(of_clip), pa.string())) if cuts else iter(())
    clips = sorted(found, key=lambda clip: clip.video_id)
    cuts_of = {
        clip.video_id: tuple(sorted(of_clip.pop(clip.video_id), key=lambda c: c.start)) for clip in clips
    }
    sources = {row.video_id: row for row in source_rows(corpus, clips)}
    keys = _clip_keys(corpus, cuts_of)
    most = min(CUTS_PER_SHARD, max(LEAST_CUTS_PER_SHARD, len(cuts) // LEAST_SHARDS))
    shards = tuple(
        ShardPlan(
            content_key(
                edition=EDITION,
                decoding=FEATURES_EDITION,
                settings=settings.model_dump(),
                clips=[_identity(clip, keys[clip.video_id], cuts_of[clip.video_id]) for clip in group],
            ),
            tuple(PlannedClip(sources[clip.video_id], cuts_of[clip.video_id]) for clip in group),
        )
        for group in _groups(clips, cuts_of, most)
    )
    unknown = tuple(cut for name in sorted(of_clip) for cut in of_clip[name])
    key = content_key(shards=[shard.name for shard in shards], unknown=[asdict(cut) for cut in unknown])
    return StorePlan(key, shards, unknown)


def _groups(clips: Sequence[Clip], cuts: dict[str, tuple[Cut, ...]], most: int) -> Iterator[list[Clip]]:
    """Consecutive clips with `most` cuts together, or a clip alone that has more."""
    group: list[Clip] = []
    count = 0
    for clip in clips:
        if group and count + len(cuts[clip.video_id]) > most:
            yield group
            group, count = [], 0
        group.append(clip)
        count += len(cuts[clip.video_id])
    if group:
        yield group


def _clip_keys(corpus: Corpus, names: Iterable[str]) -> dict[str, str]:
    """The present key of each of these clips: another one where the file has changed."""
    from cico_platform.pipelines.clip_table import keys_of_rows

    known = corpus.table(["video_id"])["video_id"]
    rows = np.flatnonzero(np.asarray(pc.is_in(known, value_set=pa.array(list(names), pa.string()))))
    keys = keys_of_rows(absolute(corpus.path), rows, KEYS_HERE)
    return dict(zip(known.take(pa.array(rows)).to_pylist(), keys.to_pylist(), strict=True))


def _identity(clip: Clip, key: str, cuts: tuple[Cut, ...]) -> list[Any]:
    """Everything that decides a clip's frames, and its cuts."""
    known = asdict(clip)
    facts = [known[name] for name in ("video_id", "path", "start", "end", "crop", "frames", "fps")]
    return [key, *facts, [[cut.start, cut.end, cut.label] for cut in cuts]]
