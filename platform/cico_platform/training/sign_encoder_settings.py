"""Settings of the sign encoder's training."""

from typing import Any, Literal

from pydantic import Field

from cico_model.config import SIGN_ENCODERS, SignEncoderConfig
from cico_platform.settings import Settings
from cico_platform.tracking.trackers import TrackingSettings
from cico_platform.training.data.frame_codec import QUALITY
from cico_platform.training.precision import PrecisionName
from cico_platform.training.run_settings import RunSettings, decisive


class SignEncoderSettings(Settings):
    """How a sign encoder is trained.

    Attributes
    ----------
    size
        One of `SIGN_ENCODERS`; with `init`, the checkpoint's size counts.
    width, frame_size
        Instead of the size's own.
    epochs, windows_per_sample
        Passes over the samples, and random windows that each gives in one.
    batch_size
        Windows of all workers together.
    optimizer
        "adamw", or "sgd" with momentum 0.9 as published.
    schedule
        "cosine" after a warm-up, or "steps": x0.1 at epochs 20 and 40 as published.
    flip
        Probability that a training window is mirrored.
    speed
        Probability that a training window is taken at another speed.
    backdrop
        Part of the training in which what stands still is faded to grey, less and less (see
        `cico_model.augmentation.fade_backdrop`); 0 never.
    dropout
        Before the classifier.
    with_dictionary
        Beside mined segments, train on the dictionary too.
    min_confidence, min_support
        Segments below one of them are left out; `cico mine` gives each segment both.
    quality
        Of the JPEG files in which the frames of all samples are kept while it trains.
    patience
        Epochs in a row without a better accuracy on validation after which the training ends early; 0 never.
    precision
        "auto": autocast to bfloat16 where the hardware has it.
    run
        Workers, checkpoints and what else does not change what is trained. (Of several workers, each
        normalises its own part of a batch, as published.)
    tracking
        Where the figures go while it trains.
    """

    size: Literal["paper", "small", "tiny"] = "tiny"
    width: float | None = None
    frame_size: int | None = None
    epochs: int = Field(default=22, ge=1)
    windows_per_sample: int = Field(default=1, ge=1)
    batch_size: int = Field(default=16, ge=1)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(default=6e-4, gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    schedule: Literal["cosine", "steps"] = "cosine"
    warmup: float = Field(default=0.15, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    flip: float = Field(default=0.15, ge=0, le=1)
    speed: float = Field(default=0.7, ge=0, le=1)
    backdrop: float = Field(default=0.6, ge=0, le=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    with_dictionary: bool = True
    min_confidence: float = Field(default=0.0, ge=0, le=1)
    min_support: float = Field(default=0.0, ge=0)
    quality: int = Field(default=QUALITY, ge=1, le=100)
    patience: int = Field(default=0, ge=0)
    precision: PrecisionName = "auto"
    seed: int = 0
    run: RunSettings = RunSettings()
    tracking: TrackingSettings = TrackingSettings()

    @classmethod
    def published(cls) -> "SignEncoderSettings":
        """Fine-tuning on pseudo-labels as the paper does it (method 3), with 4 workers' batch of 4 each."""
        return cls(
            size="paper", epochs=15, batch_size=16, optimizer="sgd", lr=1e-2, weight_decay=0.0,
            schedule="steps", with_dictionary=False, flip=0.5, speed=0.0, backdrop=0.0, dropout=0.5,
        )  # fmt: skip

    def config(self) -> SignEncoderConfig:
        """Size of a fresh network."""
        preset = SIGN_ENCODERS[self.size]
        return SignEncoderConfig(self.size, self.width or preset.width, self.frame_size or preset.frame_size)

    def decisive(self) -> dict[str, Any]:
        """The settings that change what comes out."""
        return decisive(self)
