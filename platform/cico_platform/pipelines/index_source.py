"""What an index is filled from: a corpus, its features and a model, and what each clip is known by."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from cico_platform.corpus.framing import framing_of
from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.encoding.clip_encoder import VideoEncoding
from cico_platform.errors import InputError
from cico_platform.index.clips import IndexedClip
from cico_platform.index.serving_info import ServingInfo
from cico_platform.index.set_encoding import LAYOUT
from cico_platform.index.token_storage import TokenStorage, merge_tokens
from cico_platform.pipelines.embed import check_searchable, embed_videos, model_alpha, open_model
from cico_platform.pipelines.parts import read_ledger
from cico_platform.pipelines.stored_features import read_info
from cico_platform.steps import content_key, fingerprint
from cico_platform.storage import Place, absolute, place

DEFAULT_FPS = 25.0
# Seconds: a quarter of a frame.
SAME_TIME = 0.01


@dataclass(frozen=True)
class Source:
    """A corpus' sentence clips with what makes points of them.

    Attributes
    ----------
    clips
        By `video_id`.
    keys
        Each clip's `clip_key`: it changes when its features or its row of the manifest do.
    info
        What a collection of them is built with.
    """

    corpus: Corpus
    features: str
    clips: dict[str, Clip]
    keys: dict[str, str]
    info: ServingInfo

    def without(self, video_ids: set[str]) -> "Source":
        """The source as if these clips were not in the manifest."""
        clips = {name: clip for name, clip in self.clips.items() if name not in video_ids}
        keys = {name: self.keys[name] for name in clips}
        return replace(self, clips=clips, keys=keys, info=_named(self.info, keys))

    def points(self, only: set[str]) -> Iterator[IndexedClip]:
        """Those of these clips that have features, embedded."""
        for row in embed_videos(self.features, self.info.model, self.info.alpha, only):
            clip = self.clips[row["video_id"]]
            tokens, starts = merge_tokens(row["tokens"], row["window_starts"], self.info.merge)
            payload = _payload(self.corpus, clip, starts, _times_by_start(row))
            payload |= {"clip_key": self.keys[clip.video_id], "model_id": self.info.recipe}
            yield IndexedClip(clip.video_id, tokens, payload)


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
        If the inputs don't fit together.
    """
    source, info = Corpus(corpus), read_info(features)
    clips = {clip.video_id: clip for clip in source.clips(labelled=False)}
    config = check_searchable(model, open_model(model, features, int(info["dim"])))
    trained = model_alpha(model)
    alpha = float(info["alpha"]) if trained is None else trained
    about = source.info()
    ledger = read_ledger(place(features))
    made = ledger.recipe or fingerprint(features)  # an older folder has no ledger
    name = str(about.get("name") or source.path.resolve().name)
    storage = storage or TokenStorage()
    recipe = content_key(
        features=made, model=fingerprint(model), alpha=alpha, storage=asdict(storage), layout=LAYOUT
    )
    keys = {
        video_id: content_key(
            features=ledger.keys.get(video_id), clip=asdict(clip), path=_location(source, clip), corpus=name
        )
        for video_id, clip in clips.items()
    }
    encoders = tuple(encoder["path"] for encoder in info["encoders"])
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
            int(info["stride"]),
            int(info["windows"]),
            info["precision"],
            framing_of((clip.crop for clip in clips.values()), bool(about.get("trim", True))),
        ),
    )
    return Source(source, str(features), clips, keys, _named(serving, keys))


def _location(corpus: Corpus, clip: Clip) -> str:
    """Where a clip lies; of one that leads out of the corpus, what its row says: it has no features."""
    try:
        return corpus.resolve(clip)
    except InputError:
        return clip.path


def _named(info: ServingInfo, keys: Mapping[str, str]) -> ServingInfo:
    content = content_key(recipe=info.recipe, clips=keys, encoding=asdict(info.encoding))
    return replace(info, collection=f"{info.alias}-{content}", content=content)


def _times_by_start(row: dict[str, Any]) -> dict[int, tuple[float, float]]:
    """Begin and end of each window, by its first frame; empty where an earlier version did not store them."""
    times = row["window_times"]
    return dict(zip(row["window_starts"], zip(times[::2], times[1::2], strict=True), strict=False))


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
