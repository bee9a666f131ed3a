"""Composing continuous sentences from isolated clips, so that a dictionary alone makes a retrieval corpus."""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from cico_platform.corpus.clip_keys import FileFacts, file_facts, key_columns
from cico_platform.corpus.manifest import INFO_FILE, Clip, Corpus, Split, write_manifest
from cico_platform.corpus.parallel import Row, in_parallel
from cico_platform.corpus.render import make_tile, render
from cico_platform.corpus.sentence_plan import Plan, plan_dictionary, plan_sentences
from cico_platform.corpus.text import text_id_of
from cico_platform.errors import CicoError, InputError
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, content_key, fingerprint, run_step, write_json
from cico_platform.storage import Place, is_remote, working_copy

STAGE = "compose"
TILES = ".tiles"


class ComposeSettings(BaseModel):
    """How many sentences of how many words, how large and how fast.

    `sign_frames` is how many frames a sign of the usual length gets at speed 1: the encoder's window, so that
    one window sees one sign. The videos' frame rate is lowered alike, so that they play at natural speed.
    `takes` is how often each isolated sign is written, at different speeds.
    """

    seed: int = 0
    train: int = Field(default=600, ge=1)
    validation: int = Field(default=100, ge=1)
    test: int = Field(default=160, ge=1)
    shortest: int = Field(default=3, ge=1)
    longest: int = Field(default=5, ge=1)
    size: int = Field(default=160, ge=32, le=1024, multiple_of=2)
    sign_frames: int = Field(default=16, ge=8)
    slowest: float = Field(default=0.8, gt=0.1)
    fastest: float = Field(default=1.3, lt=10)
    takes: int = Field(default=3, ge=1)


def compose_sentences(
    corpus: str | Place,
    out: str | Place,
    settings: ComposeSettings | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Compose sentences from the isolated (labelled) clips of a corpus, as real MP4 files.

    The new corpus holds both domains: rows with `label` are the isolated signs, cut to the signer and written
    at the sentences' frame rate; rows without are the sentences. Isolated clips that cannot be decoded go
    into `quarantine/compose.jsonl` and no sentence uses them.

    Parameters
    ----------
    corpus
        A corpus folder with labelled clips.
    out
        The corpus folder to write.
    settings
        See `ComposeSettings`.
    on_progress
        Called as isolated clips are cut and as videos are rendered; the total counts both.

    Raises
    ------
    InputError
        If no clip is labelled.
    CicoError
        If too few words can be used.
    """
    settings = settings or ComposeSettings()
    clips = list(Corpus(corpus).clips(labelled=True))
    if not clips:
        raise InputError(
            f"'{corpus}' has no isolated signs to compose from; every text must be a single word"
        )
    if settings.shortest > settings.longest:
        raise InputError("'shortest' is larger than 'longest'")
    key = content_key(clips=fingerprint(corpus), settings=settings.model_dump())

    def body(folder: Place) -> Summary:
        with working_copy(folder) as local:
            # Files that are moved behind a URL are other files there.
            return _compose(local, Corpus(corpus), clips, settings, on_progress, not is_remote(folder))

    return run_step(out, "corpus-compose", key, body)


def _compose(
    folder: Path,
    source: Corpus,
    clips: list[Clip],
    settings: ComposeSettings,
    on_progress: OnProgress | None,
    is_local: bool,
) -> Summary:
    counts: dict[Split, int] = {
        "train": settings.train, "validation": settings.validation, "test": settings.test
    }  # fmt: skip
    videos = sum(counts.values()) + settings.takes * len(clips)
    usable, tiles, lengths, bad = _tiles(
        folder / TILES, source, clips, settings, _part(on_progress, after=videos)
    )
    if len({clip.label for clip in usable}) < 2:
        raise CicoError(
            f"only {len(usable)} of {len(clips)} isolated clips can be used; two words are needed"
        )
    speeds = (settings.slowest, settings.fastest)
    plans = plan_sentences(usable, counts, (settings.shortest, settings.longest), settings.seed)
    plans += plan_dictionary(usable, settings.takes, speeds, settings.seed)
    fps = float(np.median([clip.fps or 25.0 for clip in usable]))
    stride = max(1.0, float(np.median(lengths)) / settings.sign_frames)
    told = _part(on_progress, before=len(clips), quarantined=len(bad))
    rendered = _render(folder, plans, tiles, stride, round(fps / stride, 2), settings, told)
    rows, facts = [], list[FileFacts | None]()
    for plan in plans:
        result = rendered.get(plan.video_id) or {"reason": "the renderer gave no answer"}
        if result["reason"]:
            bad.append({"video_id": plan.video_id, "path": "", "reason": result["reason"]})
        else:
            rows.append(_clip(plan, result))
            facts.append(FileFacts(*result["file"]) if is_local else None)
    write_manifest(folder, rows, key_columns(rows, facts))
    Corpus(folder).quarantine(STAGE, bad)
    shutil.rmtree(folder / TILES)
    details: dict[str, Any] = {
        "words": len({clip.label for clip in usable}),
        "sentences": dict(Counter(row.split for row in rows if row.label is None)),
        "isolated": sum(row.label is not None for row in rows),
        "frames_a_sentence": round(float(np.mean([r.frames or 0 for r in rows if r.label is None])), 1),
    }
    write_json(folder / INFO_FILE, {**source.info(), "composed_from": str(source.path), **details})
    return Summary(len(rows), 0, len(bad), 0.0, details)


def _part(
    on_progress: OnProgress | None, before: int = 0, after: int = 0, quarantined: int = 0
) -> OnProgress | None:
    """Progress of one part of the work, told as progress of all of it."""
    if on_progress is None:
        return None
    known = quarantined

    def tell(done: int, total: int, /, *, quarantined: int = 0, windows: int = 0, note: str = "") -> None:
        on_progress(before + done, before + total + after, quarantined=known + quarantined)

    return tell


def _tiles(
    folder: Path,
    source: Corpus,
    clips: list[Clip],
    settings: ComposeSettings,
    on_progress: OnProgress | None,
) -> tuple[list[Clip], dict[str, str], list[int], list[dict[str, Any]]]:
    """Decode every isolated clip once; the usable ones, their files and frames, and the others' reasons."""
    side = 2 * round(settings.size * 0.55)
    items, bad = [], []
    for index, clip in enumerate(clips):
        try:
            path = source.resolve(clip)
        except InputError as error:
            bad.append({"video_id": clip.video_id, "path": clip.path, "reason": str(error)})
            continue
        items.append(
            {
                "video_id": clip.video_id,
                "path": path,
                "start": clip.start,
                "end": clip.end,
                "crop": clip.crop,
                "size": side,
                "tile": str(folder.absolute() / f"{index}.tile"),
            }
        )
    results = _by_id(in_parallel(items, make_tile, on_progress))
    usable, lengths = [], []
    for clip in clips:
        result = results.get(clip.video_id)
        if result is None or result["reason"]:
            if result is not None:
                bad.append({"video_id": clip.video_id, "path": clip.path, "reason": result["reason"]})
            continue
        usable.append(clip)
        lengths.append(result["frames"])
    return usable, {str(item["video_id"]): str(item["tile"]) for item in items}, lengths, bad


def _render(
    folder: Path,
    plans: list[Plan],
    tiles: dict[str, str],
    stride: float,
    fps: float,
    settings: ComposeSettings,
    on_progress: OnProgress | None,
) -> dict[str, Row]:
    items = [
        {
            "video_id": plan.video_id,
            "out": str(folder.absolute() / plan.path),
            "tiles": [tiles[clip.video_id] for clip in plan.clips],
            "seed": plan.seed,
            "stride": stride,
            "speed": plan.speed,
            "speeds": [settings.slowest, settings.fastest],
            "size": settings.size,
            "fps": fps,
        }
        for plan in plans
    ]
    return _by_id(in_parallel(items, _rendered, on_progress))


def _rendered(item: Row) -> Row:
    """Render a sentence; returns the result of `render` with the `FileFacts` of its file under `file`."""
    result = render(item)
    facts = FileFacts("") if result["reason"] else file_facts(str(item["out"]))
    return {**result, "file": [facts.version, facts.size, facts.time]}


def _by_id(results: list[Row]) -> dict[str, Row]:
    return {str(result["video_id"]): result for result in results}


def _clip(plan: Plan, result: Row) -> Clip:
    text = " ".join(clip.text for clip in plan.clips)
    return Clip(
        video_id=plan.video_id,
        text_id=text_id_of(text),
        split=plan.split,
        path=plan.path,
        text=text,
        text_original=" ".join(clip.text_original for clip in plan.clips),
        crop=[0.0, 0.0, 1.0, 1.0],
        label=plan.label,
        language=_common([clip.language for clip in plan.clips]),
        sign_language=_common([clip.sign_language for clip in plan.clips]),
        signer=_common([clip.signer for clip in plan.clips]),
        participants=_participants(plan.clips),
        licence=_common([clip.licence for clip in plan.clips]),
        frames=result["frames"],
        fps=result["fps"],
    )


def _participants(clips: Sequence[Clip]) -> list[str] | None:
    """All people whom the clips of a sentence show."""
    shown = {name for clip in clips for name in clip.people}
    return sorted(shown) or None


def _common(values: list[str | None]) -> str | None:
    """What the parts of a sentence are under: one value, or all of them named."""
    known = sorted({value for value in values if value})
    return "; ".join(known) or None
