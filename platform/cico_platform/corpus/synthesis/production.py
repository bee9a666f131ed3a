"""Production: the whole synthetic corpus, its clips drawn in parallel by Ray Data."""

import json
from pathlib import Path
from typing import Any

import cv2

from cico_platform.corpus.clip_keys import FileFacts, file_facts, key_columns
from cico_platform.corpus.encode import write_video
from cico_platform.corpus.manifest import Clip, write_manifest
from cico_platform.corpus.parallel import Row, in_parallel
from cico_platform.corpus.synthesis.filming import FPS, rehearse, shoot
from cico_platform.corpus.synthesis.lexicon import LEXICON
from cico_platform.corpus.synthesis.screenplay import Shot, SynthesisSettings, screenplay
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, content_key, run_step, write_json
from cico_platform.storage import Place, is_remote, working_copy

# Raise when the drawing changes, so that a corpus made by older code is made anew.
EDITION = 3
GLOSSES_FILE = "glosses.json"


def synthesize(
    out: str | Place, settings: SynthesisSettings, on_progress: OnProgress | None = None
) -> Summary:
    """Draw a corpus: `manifest.parquet`, `corpus.json`, `glosses.json` and `videos/*.mp4` under `out`.

    The manifest holds both domains. Rows with a `label` are the dictionary: isolated signs, splits train and
    validation. Rows without are the target: sentences by other signers, splits train, validation and test.
    Either may be left out by its counts.
    `glosses.json` is the truth about the sentences' signs, `{video_id: [[gloss, first frame, end], ...]}`:
    it is there to measure with, and nothing trains on it.

    Parameters
    ----------
    out
        The corpus folder. A corpus of the same settings that is there already is left as it is, and one that
        was cut short is completed.
    settings
        Seed and counts.
    on_progress
        Called as clips are ready.

    Raises
    ------
    InputError
        If `out` holds files that are not a corpus of ours.
    """
    key = content_key(edition=EDITION, settings=settings.model_dump())

    def body(folder: Place) -> Summary:
        with working_copy(folder) as local:
            return _produce(local, settings, on_progress, not is_remote(folder))

    return run_step(out, "synthesize", key, body)


def _produce(
    folder: Path, settings: SynthesisSettings, on_progress: OnProgress | None, is_local: bool
) -> Summary:
    shots = screenplay(settings)
    videos = folder / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    rows = _film_all(shots, videos, on_progress)
    clips = [_clip(shot, row) for shot, row in zip(shots, rows, strict=True)]
    # Files that are moved behind a URL are other files there.
    facts = [FileFacts(*row["file"]) if is_local else None for row in rows]
    truth = {row["video_id"]: json.loads(row["spans"]) for row in rows if row["sentence"]}
    write_json(folder / GLOSSES_FILE, truth)
    write_json(folder / "corpus.json", _description(settings, clips))
    write_manifest(folder, clips, key_columns(clips, facts))
    drawn = sum(row["drawn"] for row in rows)
    return Summary(done=drawn, skipped=len(rows) - drawn)


def _film_all(shots: list[Shot], videos: Path, on_progress: OnProgress | None) -> list[Row]:
    """One row a shot, in the order of the shots, whichever was ready first."""
    folder = str(videos.resolve())
    rows = [{"number": number, "shot": shot, "videos": folder} for number, shot in enumerate(shots)]
    return sorted(in_parallel(rows, _film, on_progress), key=lambda row: int(row["number"]))


def _film(row: Row) -> Row:
    return {"number": row["number"], **film_shot(row["shot"], Path(row["videos"]))}


def film_shot(shot: Shot, videos: Path) -> Row:
    """Draw and encode one clip, unless its file is there already."""
    cv2.setNumThreads(1)
    take = shot.take
    rehearsal = rehearse(take)
    path = videos / f"{take.video_id}.mp4"
    drawn = not path.is_file()
    if drawn:
        write_video(path, shoot(take, rehearsal), FPS, take.who.scene.quality, preset="superfast")
    facts = file_facts(str(path))
    return {
        "video_id": take.video_id,
        "file": [facts.version, facts.size, facts.time],
        "frames": rehearsal.frames,
        "crop": list(rehearsal.crop),
        "spans": json.dumps(rehearsal.timeline.spans),
        "sentence": shot.label is None,
        "drawn": drawn,
    }


def _clip(shot: Shot, row: Row) -> Clip:
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
