"""Features: the sign features of the windows that retrieval uses, by every encoder, from one decode."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from cico_platform.cluster import connect
from cico_platform.corpus.manifest import Corpus
from cico_platform.encoding.mixing import stored_features
from cico_platform.encoding.sign_encoders import read_encoders
from cico_platform.errors import InputError
from cico_platform.pipelines.clip_table import read_clips
from cico_platform.pipelines.encoders import EncodedClip, EncodingSettings
from cico_platform.pipelines.encoding_run import EncodingRun, runs_here
from cico_platform.pipelines.mine import PARTS_FOLDER
from cico_platform.pipelines.output import Output
from cico_platform.pipelines.reuse import find_stored
from cico_platform.pipelines.shard_sink import ShardSink
from cico_platform.pipelines.shards import ShardKind
from cico_platform.schemas.features import FEATURES_SCHEMA, ClipFeatures, features_table
from cico_platform.schemas.features_info import INFO_FILE, EncoderInfo, FeaturesInfo
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, content_key, earlier_outputs, fingerprint, run_step, write_json
from cico_platform.storage import Place, absolute, place

STAGE = "features"
DEFAULT_ALPHA = 0.8


class FeatureSettings(EncodingSettings):
    """How features are extracted."""


def extract_features(
    corpus: str | Place,
    encoders: Sequence[str | Place],
    alpha: float | None,
    out: str | Place,
    settings: FeatureSettings | None = None,
    on_progress: OnProgress | None = None,
    reuse: Sequence[str | Place] = (),
) -> Summary:
    """Extract the features of every sentence clip.

    Workers write shards, which become `part-*.parquet`, a row a video and encoder: `video_id, encoder_id,
    window_starts, window_times, dim, features` (float16, row after row), `truncated, short`. `features.json`
    names the encoders and alpha, `clips.parquet` each clip's outcome. Clips that `out` holds already, from
    the same encoders and settings, are not done again. Features by one of the encoders that `out` or a
    folder of `reuse` holds are not computed again, either.

    Parameters
    ----------
    encoders
        Checkpoints of one or two sign encoders: domain-agnostic first, then domain-aware.
    alpha
        The first one's share when the features of two are mixed, 0.8 if None. The features are stored
        unmixed: `load_features` may mix them anew.
    reuse
        Outputs of `cico mine` or `cico features`. What they hold of other clips, encoders or settings, or of
        clips that have changed, is passed over.

    Returns
    -------
    Summary
        Details: `encoders`, `dim`, `reused`, how many times a clip's features by one encoder were taken from
        an earlier run, and how many clips are `truncated` and `short`.

    Raises
    ------
    InputError
        If there is nothing to encode, the encoders don't fit together, or alpha is no share.
    """
    settings, source = settings or FeatureSettings(), Corpus(corpus)
    alpha = DEFAULT_ALPHA if alpha is None else alpha
    if not 0.0 <= alpha <= 1.0:
        raise InputError(f"alpha is the first encoder's share, between 0 and 1, not {alpha}")
    if len(encoders) > 2:
        raise InputError(f"features come from one or two encoders, not {len(encoders)}")
    clips = read_clips(corpus, here=settings.here)
    if not len(clips):
        raise InputError(f"'{corpus}' has no sentence clips; 'cico corpus compose' makes some")
    config, _ = read_encoders(encoders)
    ids, digest = [fingerprint(folder) for folder in encoders], clips.digest()
    kind = ShardKind(FEATURES_SCHEMA, settings.recipe(STAGE, ids, digest), settings.encoding(digest))
    key = content_key(recipe=kind.recipe, clips=digest, alpha=alpha)

    def body(folder: Place) -> Summary:
        connect()
        output = Output(folder, kind, clips, here=runs_here(len(clips), settings))
        earlier = earlier_outputs(out, folder)
        for each in earlier:
            output.take_over(each)
        mined = [place(each) / PARTS_FOLDER for each in reuse]
        stored = find_stored([*earlier, *reuse, *mined], ids, kind.encoding, clips, output.here)
        waiting = output.waiting()
        run = EncodingRun(
            source,
            clips,
            config,
            settings,
            tuple(absolute(each) for each in encoders),
            FeatureRows(tuple(ids), config.feature_dim),
            ShardSink(absolute(folder), kind),
            settings.windows,
            stored,
        )
        output.collect(run.outcomes(waiting), on_progress)
        counts = output.close(STAGE, source)
        about = FeaturesInfo(
            encoders=tuple(
                EncoderInfo(id=name, path=absolute(path)) for name, path in zip(ids, encoders, strict=True)
            ),
            alpha=alpha,
            dim=config.feature_dim,
            size=config.size,
            precision=settings.precision,
            stride=settings.stride,
            windows=settings.windows,
            corpus=absolute(source.path),
        )
        write_json(folder / INFO_FILE, about.model_dump())
        details = {"encoders": len(ids), "dim": config.feature_dim, "reused": stored.count(waiting)}
        return Summary(**counts.outcomes, details={**details, **counts.shortcomings})

    return run_step(out, STAGE, key, body)


@dataclass(frozen=True)
class FeatureRows:
    """The `Product` of `features`: for each clip and encoder, a row with the features."""

    encoder_ids: tuple[str, ...]
    dim: int

    def table(self, clips: Sequence[EncodedClip]) -> pa.Table:
        """Rows of `FEATURES_SCHEMA`; see `Product`."""
        rows = [
            ClipFeatures(
                clip.batch.video_id,
                encoder,
                clip.starts,
                clip.times,
                stored_features(output),
                clip.truncated,
                clip.short,
            )
            for clip in clips
            for encoder, output in zip(self.encoder_ids, clip.outputs, strict=True)
        ]
        return features_table(rows, self.dim)
