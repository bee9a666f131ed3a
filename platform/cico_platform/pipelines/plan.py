"""What a corpus costs before it is begun: windows, device-hours, decoding cores, disk."""

import math
from typing import Any, Literal

from pydantic import Field

from cico_model.clips import select_windows, window_starts
from cico_model.config import MAX_WINDOWS, SignEncoderConfig
from cico_platform.pipelines.device_rates import DECODED_FRAMES_PER_CORE, Rate
from cico_platform.settings import Settings

Step = Literal["mine", "features"]
HALF_BYTES = 2
SEGMENT_BYTES = 64


class PlanSettings(Settings):
    """A corpus on paper.

    Attributes
    ----------
    hours
        Of video, all clips together.
    clip_seconds
        A clip's mean length; How2Sign's are 7 s.
    fps
        Frames a second.
    encoders
        Sign encoders: two for features (domain-agnostic and domain-aware), mining takes one.
    devices
        How many work side by side.
    """

    hours: float = Field(gt=0)
    clip_seconds: float = Field(default=7.0, gt=0)
    fps: float = Field(default=25.0, gt=0)
    encoders: int = Field(default=2, ge=1, le=2)
    devices: int = Field(default=1, ge=1)


def plan(step: Step, settings: PlanSettings, rate: Rate) -> dict[str, Any]:
    """Costs of a step.

    Returns
    -------
    dict
        `clips`, `frames`, `windows` (of all encoders), `device_hours`, `hours` on all devices,
        `decoding_core_hours`, `cores_per_device` that keep a device busy, `disk_gib`, and the rate's
        `device`, `windows_per_second`, `basis`, `source`.
    """
    clip_frames = max(1, round(settings.clip_seconds * settings.fps))
    clips = max(1, round(settings.hours * 3600 / settings.clip_seconds))
    encoders = 1 if step == "mine" else settings.encoders
    every = len(window_starts(clip_frames))
    each = every if step == "mine" else len(select_windows(every, MAX_WINDOWS))
    windows = clips * each * encoders
    device_hours = windows / rate.windows / 3600
    decoding = clips * clip_frames / DECODED_FRAMES_PER_CORE / 3600
    row = SEGMENT_BYTES if step == "mine" else SignEncoderConfig().feature_dim * HALF_BYTES
    kept = clips * clip_frames / settings.fps if step == "mine" else windows
    return {
        "step": step,
        "clips": clips,
        "frames": clips * clip_frames,
        "windows": windows,
        "device": rate.device,
        "devices": settings.devices,
        "windows_per_second": round(rate.windows, 1),
        "basis": rate.basis,
        "source": rate.source,
        "device_hours": round(device_hours, 2),
        "hours": round(device_hours / settings.devices, 2),
        "decoding_core_hours": round(decoding, 2),
        "cores_per_device": max(1, math.ceil(decoding / device_hours)),
        "disk_gib": round(kept * row / (1 << 30), 2),
    }
