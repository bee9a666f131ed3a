"""Features: the sign features of the windows that retrieval uses, by every encoder, from one decode."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cico_model.config import SignEncoderConfig
from cico_model.sign_encoder import SignOutput
from cico_platform.cluster import connect
from cico_platform.corpus.clip_keys import clip_keys
from cico_platform.corpus.manifest import Corpus
from cico_platform.encoding.mixing import stored_features
from cico_platform.encoding.sign_encoders import read_encoders
from cico_platform.errors import InputError
from cico_platform.pipelines.decode import SHORTCOMINGS, source_rows
from cico_platform.pipelines.encoders import EncodingSettings, calibration_windows, encode_clips
from cico_platform.pipelines.mine import PARTS_FOLDER
from cico_platform.pipelines.parts import Parts, collect, settle, shortcomings
from cico_platform.pipelines.reuse import find_stored, mark_stored
from cico_platform.pipelines.stored_features import FEATURES_SCHEMA, INFO_FILE
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, content_key, earlier_outputs, fingerprint, run_step, write_json
from cico_platform.storage import Place, absolute, place

Row = dict[str, Any]
STAGE = "features"
DEFAULT_ALPHA = 0.8
# What leaves an encoder actor: a clip's float16 features as bytes, one entry an encoder.
ENCODED_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string()),
        pa.field("path", pa.string()),
        pa.field("error", pa.string()),
        pa.field("windows", pa.int32()),
        pa.field("window_starts", pa.list_(pa.int32())),
        pa.field("window_times", pa.list_(pa.float64())),
        pa.field("features", pa.list_(pa.binary())),
        pa.field("truncated", pa.bool_()),
        pa.field("short", pa.bool_()),
    ]
)


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

    Writes shards `part-*.parquet`, a row a video and encoder: `video_id, encoder_id, window_starts,
    window_times, dim, features` (float16, row after row), `truncated, short`. `features.json` names the
    encoders and alpha, `clips.parquet` each clip's outcome. Clips that `out` holds already, from the same
    encoders and settings, are not done again. Features by one of the encoders that `out` or a folder of
    `reuse` holds are not computed again, either.

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
    clips = source.clips(labelled=False)
    if not clips:
        raise InputError(f"'{corpus}' has no sentence clips; 'cico corpus compose' makes some")
    config, _ = read_encoders(encoders)
    ids = [fingerprint(folder) for folder in encoders]
    keys = clip_keys(source, clips)
    recipe, encoding = settings.recipe(STAGE, ids, keys), settings.encoding(keys)
    key = content_key(recipe=recipe, clips=keys, alpha=alpha)

    def body(folder: Place) -> Summary:
        connect()
        parts = Parts(folder, FEATURES_SCHEMA, recipe, keys, encoding)
        earlier = earlier_outputs(out, folder)
        for output in earlier:
            parts.take_over(output)
        mined = [place(output) / PARTS_FOLDER for output in reuse]
        stored = find_stored([*earlier, *reuse, *mined], ids, encoding, keys)
        pending = mark_stored(parts.pending(source_rows(source, clips)), stored, len(ids))
        encoded = encode_clips(
            pending,
            config,
            settings,
            folders=[absolute(path) for path in encoders],
            describe=describe_features,
            schema=ENCODED_SCHEMA,
            limit=settings.windows,
            calibration=calibration_windows(source, clips, config, settings.precision),
        )
        collect(encoded, parts, lambda row: _rows(row, ids, config), on_progress)
        counts = settle(parts, source, STAGE)
        about = {
            "alpha": alpha, "dim": config.feature_dim, "size": config.size, **settings.features_config()
        }  # fmt: skip
        _write_info(folder, source, [absolute(path) for path in encoders], ids, about)
        reused = sum(sum(map(bool, row["stored"])) for row in pending)
        details = {"encoders": len(ids), "dim": config.feature_dim, "reused": reused, **shortcomings(parts)}
        return Summary(**counts, details=details)

    return run_step(out, STAGE, key, body)


def describe_features(row: Row, outputs: list[SignOutput]) -> Row:
    """A clip's features as bytes of float16, one entry an encoder."""
    features = [] if row["error"] else [stored_features(output).tobytes() for output in outputs]
    names = ("video_id", "path", "error", "window_starts", "window_times", *SHORTCOMINGS)
    kept = {name: row[name] for name in names}
    return {**kept, "windows": len(row["window_starts"]), "features": features}


def _rows(row: Row, ids: list[str], config: SignEncoderConfig) -> list[Row]:
    return [
        {
            "video_id": row["video_id"],
            "encoder_id": encoder_id,
            "window_starts": row["window_starts"],
            "window_times": row["window_times"],
            "dim": config.feature_dim,
            "features": np.frombuffer(values, dtype=np.float16),
            **{name: row[name] for name in SHORTCOMINGS},
        }
        for encoder_id, values in zip(ids, row["features"], strict=True)
    ]


def _write_info(
    folder: Place, corpus: Corpus, paths: list[str], ids: list[str], about: dict[str, Any]
) -> None:
    encoders = [{"id": name, "path": path} for name, path in zip(ids, paths, strict=True)]
    write_json(folder / INFO_FILE, {"encoders": encoders, **about, "corpus": absolute(corpus.path)})
