"""The row `sample-store` of `cico bench scale`: stored segments beside raw pixels in memory."""

from pathlib import Path

import numpy as np

from cico_model.config import SIGN_ENCODERS
from cico_platform.benchmarks.interleave import Say, Side, interleave
from cico_platform.benchmarks.material import Frames, looped, measured_videos
from cico_platform.benchmarks.rows import Row, make_row
from cico_platform.benchmarks.scale.stored_segments import write_segments
from cico_platform.benchmarks.settings import BenchSettings
from cico_platform.training.data.cuts import FrameSettings

SIDES = "cico_platform.benchmarks.scale.sample_store_sides"
NAME, REPEATS = "sample-store", 5
SEGMENTS, SEGMENT_FRAMES, SAMPLES = 64, 24, 100_000
QUICK_SEGMENTS, QUICK_SAMPLES = 8, 2_000
BATCH = 16
# Windows of a repeat: a second or two.
WINDOWS, QUICK_WINDOWS = 256, 32
SEGMENTS_FILE, STORE_FOLDER = "segments.npy", "samples"


def measure(folder: Path, settings: BenchSettings, say: Say) -> Row:
    """Measure training windows of the paper's size, 224 pixels, up to the device's batch.

    Returns
    -------
    dict
        A row of `cico bench --json`. `plain` is one thread that cuts windows out of raw pixels in memory and
        augments them clip by clip on the CPU; `ours` one thread that reads and decodes them out of a store
        of 100,000 segments, as bytes, which the device augments. Beside these: `bytes_per_segment` (24
        frames), `windows_per_s_per_core`, `windows_per_s_two_processes`, `augment_ms_per_window` (of the
        device), `resident_mib` (peak of the process that reads the store).
    """
    config = SIGN_ENCODERS["tiny" if settings.quick else "paper"]
    samples, windows = (QUICK_SAMPLES, QUICK_WINDOWS) if settings.quick else (SAMPLES, WINDOWS)
    segments = _segments(settings, config.resize)
    np.save(folder / SEGMENTS_FILE, segments)
    say(f"{NAME}: an index of {samples:,} segments")
    kept = FrameSettings(size=config.resize)
    stored = write_segments(folder / STORE_FOLDER, list(segments), samples, kept)
    given = {"size": config.size, "windows": windows, "batch": BATCH}
    tasks = [
        Side(f"{NAME}-{side}", f"{SIDES}:{side}", settings.task(folder, **given))
        for side in ("raw_pixels", "stored", "two_processes", "augmented")
    ]
    found = interleave(tasks, settings.count(REPEATS), say)
    plain, ours, two, augmented = (found[task.name] for task in tasks)
    plain.memory = {}  # of a few segments, where ours has all
    row = make_row(
        NAME,
        f"{samples:,} segments of {SEGMENT_FRAMES} frames, {config.frame_size} pixels",
        plain,
        ours,
        unit="windows/s",
        amounts=(windows, windows),
    )
    row["bytes_per_segment"] = round(stored / len(segments))
    if ours.seconds:
        row["windows_per_s_per_core"] = row["ours"]["median"]
        row["resident_mib"] = ours.memory["peak"]
    if two.seconds:
        row["windows_per_s_two_processes"] = float(f"{2 * windows / float(np.median(two.seconds)):.4g}")
    if augmented.seconds:
        each = 1000 * float(np.median(augmented.seconds)) / windows
        row["augment_ms_per_window"] = float(f"{each:.3g}")
    return row


def _segments(settings: BenchSettings, size: int) -> Frames:
    """Segments of real or drawn videos, uint8 [N, 24, size, size, 3]."""
    count = QUICK_SEGMENTS if settings.quick else SEGMENTS
    videos = measured_videos(size, settings)
    return looped(videos, count * SEGMENT_FRAMES).reshape(count, SEGMENT_FRAMES, size, size, 3)
