"""Production: the whole synthetic corpus, its clips drawn in parallel by Ray Data."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from cico_platform.cluster import connect
from cico_platform.corpus.encode import write_video
from cico_platform.corpus.manifest import Clip, write_manifest
from cico_platform.corpus.synthesis.filming import FPS, rehearse, shoot
from cico_platform.corpus.synthesis.lexicon import LEXICON
from cico_platform.corpus.synthesis.screenplay import Shot, SynthesisSettings, screenplay
from cico_platform.steps import Summary, content_key, run_step, write_json
from cico_platform.storage import Place, working_copy

# Raise when the drawing changes, so that a corpus made by older code is made anew.
EDITION = 3
GLOSSES_FILE = "glosses.json"
_CLIPS_PER_TASK = 32


def synthesize(out: str | Place, settings: SynthesisSettings) -> Summary:
    """Draw a corpus: `manifest.parquet`, `corpus.json`, `glosses.json` and `videos/*.mp4` under `out`.

    The manifest holds both domains. Rows with a `label` are the dictionary: isolated signs, splits train and
    validation. Rows without are the target: sentences by other signers, splits train, validation and test.
    `glosses.json` is the truth about the sentences' signs, `{video_id: [[gloss, first frame, end], ...]}`:
    it is there to measure with, and nothing trains on it.

    Parameters
    ----------
    out
        The corpus folder. A corpus of the same settings that is there already is left as it is, and one that
        was cut short is completed.
    settings
        Seed and counts.

    Raises
    ------
    InputError
        If `out` holds files that are not a corpus of ours.
    """
    key = content_key(edition=EDITION, settings=settings.model_dump())

    def body(folder: Place) -> Summary:
        with working_copy(folder) as local:
            return _produce(local, settings)

    return run_step(out, "synthesize", key, body)


def _produce(folder: Path, settings: SynthesisSettings) -> Summary:
    shots = screenplay(settings)
    videos = folder / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    rows = _film_all(shots, videos)
    clips = [_clip(shot, row) for shot, row in zip(shots, rows, strict=True)]
    truth = {row["video_id"]: json.loads(row["spans"]) for row in rows if row["sentence"]}
    write_json(folder / GLOSSES_FILE, truth)
    write_json(folder / "corpus.json", _description(settings, clips))
    write_manifest(folder, clips)
    drawn = sum(row["drawn"] for row in rows)
    return Summary(done=drawn, skipped=len(rows) - drawn)


def _film_all(shots: list[Shot], videos: Path) -> list[dict[str, Any]]:
    """One row a shot, in the order of the shots, whichever was ready first."""
    connect()
    import ray

    numbers = ray.data.from_items(
        [{"number": n} for n in range(len(shots))], override_num_blocks=-(-len(shots) // _CLIPS_PER_TASK)
    )
    rows = numbers.map(_filmer(shots, videos.resolve()), num_cpus=0.9).take_all()
    return sorted(rows, key=lambda row: row["number"])


def _filmer(shots: list[Shot], videos: Path) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def film(row: dict[str, Any]) -> dict[str, Any]:
        return {"number": row["number"], **film_shot(shots[row["number"]], videos)}

    return film


def film_shot(shot: Shot, videos: Path) -> dict[str, Any]:
    """Draw and encode one clip, unless its file is there already."""
    cv2.setNumThreads(1)
    take = shot.take
    rehearsal = rehearse(take)
    path = videos / f"{take.video_id}.mp4"
    drawn = not path.is_file()
    if drawn:
        write_video(path, shoot(take, rehearsal), FPS, take.who.scene.quality, preset="superfast")
    return {
        "video_id": take.video_id,
        "frames": rehearsal.frames,
        "crop": list(rehearsal.crop),
        "spans": json.dumps(rehearsal.timeline.spans),
        "sentence": shot.label is None,
        "drawn": drawn,
    }


def _clip(shot: Shot, row: dict[str, Any]) -> Clip:
    return Clip(
        video_id=shot.take.video_id,
        text_id=shot.text_id,
        split=shot.split,
        path=f"videos/{shot.take.video_id}.mp4",
        crop=[float(value) for value in row["crop"]],
        text=shot.text,
        text_original=shot.text_original,
        label=shot.label,
        language="en",
        sign_language="procedural",
        signer=shot.take.who.name,
        licence="CC0-1.0",
        frames=int(row["frames"]),
        fps=float(FPS),
    )


def _description(settings: SynthesisSettings, clips: list[Clip]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for clip in clips:
        domain = f"{'dictionary' if clip.label else 'target'}/{clip.split}"
        counts[domain] = counts.get(domain, 0) + 1
    return {
        "name": "procedural signs",
        "format": "synthetic",
        "licence": "CC0-1.0",
        "about": "Drawn by code. The signs are invented: this is no sign language.",
        "edition": EDITION,
        "settings": settings.model_dump(),
        "signs": len(LEXICON),
        "clips": counts,
        "truth": f"{GLOSSES_FILE}: each sentence's signs and their frames, to measure with, not to train on.",
    }
