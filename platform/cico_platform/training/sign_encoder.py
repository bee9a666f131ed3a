"""Training of the sign encoder: on a dictionary of isolated signs, or on mined pseudo-labels."""

from collections.abc import Sequence
from pathlib import Path

import ray

from cico_model.checkpoint import load_sign_encoder, save_sign_encoder
from cico_model.config import SignEncoderConfig
from cico_model.sign_encoder import SignEncoder
from cico_platform.cluster import connect
from cico_platform.corpus.manifest import MANIFEST_FILE, Corpus
from cico_platform.errors import InputError
from cico_platform.pipelines.changed_clips import check_unchanged
from cico_platform.pipelines.encoders import EncodingSettings, resources
from cico_platform.pipelines.mine import PARTS_FOLDER, read_segments
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, content_key, fingerprint, run_step, write_json
from cico_platform.storage import Place, absolute, on_this_machine, place, remove, working_copy
from cico_platform.tracking.trackers import tracked
from cico_platform.training.data.cuts import Cut, FrameSettings
from cico_platform.training.data.sample_builder import StoreSummary, build_sample_store
from cico_platform.training.run_settings import check_workers
from cico_platform.training.runs import OnRow, clean_up, run_training
from cico_platform.training.sign_encoder_settings import SignEncoderSettings as SignEncoderSettings
from cico_platform.training.tasks.sign_encoder import SignEncoderRun, train_loop

STAGE = "train-sign-encoder"
HISTORY_FILE = "history.json"
SAMPLES_FOLDER = "samples"
TRAIN, HELD_OUT = "train", "held_out"


def train_sign_encoder(
    corpus: str | Place,
    out: str | Place,
    settings: SignEncoderSettings | None = None,
    segments: str | Place | None = None,
    init: str | Place | None = None,
    on_progress: OnProgress | None = None,
    on_row: Sequence[OnRow] = (),
    samples: str | Place | None = None,
) -> Summary:
    """Train a sign encoder on Ray Train; `out` becomes its checkpoint, with `history.json`.

    First, the frames of all segments are stored as JPEG (`build_sample_store`). Workers read windows from
    there: the memory that they need does not grow with the corpus.

    Parameters
    ----------
    corpus
        Its labelled training clips are the dictionary; labelled validation clips measure.
    segments
        Folder that `mine` wrote: train on these windows of the sentences too (domain-aware encoder).
    init
        Checkpoint to start from. Its classifier is kept if it knows the same signs.
    on_row
        Told each row of metrics: `step`, `epoch`, `loss`, `lr`, `samples_per_second`, `workers`, validation.
    samples
        Folder or URL of the stored frames. They stay there, and later trainings on the same segments take
        them; another one replaces them. None: beside the checkpoints, until the training has ended.

    Returns
    -------
    Summary
        Clips that were trained on. Details: `labels`, `samples`, `loss`, `accuracy` (validation, percent),
        and `segments_left_out`: those outside their clip, where others of the clip could be used.

    Raises
    ------
    InputError
        If there is nothing to train on.
    """
    settings, source = settings or SignEncoderSettings(), Corpus(corpus)
    check_workers(settings.run.workers, settings.batch_size)
    train, validation = _cuts(source, segments, settings)
    start = None if init is None else _load(init)
    key = content_key(
        step=STAGE,
        manifest=fingerprint(source.path / MANIFEST_FILE),
        segments=segments and fingerprint(segments),
        init=init and fingerprint(init),
        settings=settings.decisive(),
    )

    def body(folder: Place) -> Summary:
        with working_copy(folder) as local, tracked(local, place(out).name, settings) as track:
            cuts, rows = (train, validation), [track, *on_row]
            where = folder / SAMPLES_FOLDER if samples is None else place(absolute(samples))
            return _train(folder, local, key, source, cuts, where, settings, start, on_progress, rows)

    return run_step(out, STAGE, key, body)


def _cuts(
    corpus: Corpus, segments: str | Place | None, settings: SignEncoderSettings
) -> tuple[list[Cut], list[Cut]]:
    cuts = {
        split: [Cut(clip.video_id, str(clip.label)) for clip in corpus.clips(split, labelled=True)]
        for split in ("train", "validation")
    }
    if segments is None:
        if not cuts["train"]:
            raise InputError(f"'{corpus.path}' has no labelled training clips; give --segments")
        return cuts["train"], cuts["validation"]
    check_unchanged(corpus.path, place(segments) / PARTS_FOLDER, "cico mine")
    mined = [
        Cut(segment.video_id, segment.label, segment.start, segment.end)
        for segment in read_segments(segments, settings.min_confidence, settings.min_support)
    ]
    if not mined:
        raise InputError(
            f"'{segments}' holds no segments to train on; lower min_support or the threshold of 'cico mine'"
        )
    return mined + (cuts["train"] if settings.with_dictionary else []), cuts["validation"]


def _load(folder: str | Place) -> tuple[SignEncoder, list[str]]:
    try:
        return load_sign_encoder(on_this_machine(folder))
    except (ValueError, OSError, RuntimeError) as error:
        raise InputError(f"{error}; --init takes a sign encoder") from error


def _train(
    folder: Place,
    local: Path,
    key: str,
    corpus: Corpus,
    cuts: tuple[list[Cut], list[Cut]],
    where: Place,
    settings: SignEncoderSettings,
    start: tuple[SignEncoder, list[str]] | None,
    on_progress: OnProgress | None,
    on_row: Sequence[OnRow],
) -> Summary:
    connect()
    train, validation = cuts
    wanted = sorted({cut.label for cut in train})
    labels = start[1] if start and set(wanted) <= set(start[1]) else wanted
    config = start[0].config if start else settings.config()
    names = set(labels)
    known = [cut for cut in validation if cut.label in names]
    stores = _store_samples(corpus, (train, known), where, config, settings, on_progress)
    bad = [row for store in stores for row in store.quarantine]
    corpus.quarantine(STAGE, bad)
    if not stores[0].samples:
        raise InputError(f"'{corpus.path}': no training clip can be decoded; the first: {bad[0]['reason']}")
    run = SignEncoderRun(
        settings,
        config,
        labels,
        weights=None if start is None else ray.put(dict(start[0].state_dict())),
        same_signs=start is not None and labels == start[1],
        samples=absolute(where / TRAIN),
        held_out=absolute(where / HELD_OUT),
        keys=(stores[0].key, stores[1].key),
    )
    state = run_training(train_loop, run, folder, key, settings.run, on_progress, on_row)
    encoder = SignEncoder(len(labels), config)
    encoder.load_state_dict(state["model"])
    # Without the trackers: a server's address may hold a password.
    save_sign_encoder(local, encoder, labels, {"settings": settings.model_dump(exclude={"tracking"})})
    write_json(local / HISTORY_FILE, state["history"])
    clean_up(folder)
    remove(folder / SAMPLES_FOLDER)
    last = state["history"][-1]
    lost = sum(store.lost_clips for store in stores)
    details = {
        "labels": len(labels),
        "samples": stores[0].samples,
        "segments_left_out": len(bad) - lost,
        **{k: last.get(k) for k in ("loss", "accuracy")},
    }
    clips = len({cut.video_id for cut in [*train, *known]})
    return Summary(clips - lost, 0, lost, 0.0, details)


def _store_samples(
    corpus: Corpus,
    cuts: tuple[list[Cut], list[Cut]],
    where: Place,
    config: SignEncoderConfig,
    settings: SignEncoderSettings,
    on_progress: OnProgress | None,
) -> list[StoreSummary]:
    """Store the frames of the training and of the held-out cuts."""
    resolved, _ = resources(EncodingSettings())
    frames = FrameSettings(size=config.resize, quality=settings.quality)
    faded = frames.model_copy(update={"backdrop": settings.backdrop > 0})
    return [
        build_sample_store(corpus, part, where / name, kept, resolved.decoders, on_progress)
        for part, name, kept in zip(cuts, (TRAIN, HELD_OUT), (faded, frames), strict=True)
    ]
