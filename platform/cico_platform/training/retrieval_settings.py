"""Settings of the retrieval model's training."""

from typing import Any, Literal

from pydantic import Field, model_validator

from cico_model.similarity import LEAST_TEMPERATURE
from cico_platform.settings import Settings
from cico_platform.tracking.trackers import TrackingSettings
from cico_platform.training.precision import PrecisionName
from cico_platform.training.run_settings import RunSettings, decisive


class RetrievalSettings(Settings):
    """How a retrieval model is trained.

    Attributes
    ----------
    size
        One of `TOWERS`; with `init`, the checkpoint's size counts, all else is as set here.
    pooling
        "fine": sign-to-word similarity (the paper); "mean": the mean of a side's tokens; "class": the video's
        class token and the text's end token.
    design, weight, temperature
        Of the loss and the score (`cico_model.retrieval_loss`).
    tokenizer
        "corpus": trained on the training texts; "clip": CLIP's; "auto": CLIP's for the paper's size.
    alpha
        Share of the first encoder's features; None takes that of the features.
    stride
        Frames from one window to the next (method 2): of features that were extracted at a smaller stride,
        the windows nearest to those that extraction at this one would give. The model remembers it.
    batch_size
        Pairs of all workers together.
    optimizer
        "adamw", or "published" (method 7) for imported weights.
    augment
        Swap two words of a text, with this probability; 0 never.
    drop_windows, noise
        Feature augmentation: part of the windows that is hidden; noise in units of the features' deviation.
    evaluate_every
        Epochs between validations; the best by R@1 both ways is kept. The last epoch is always validated.
    patience
        Validations in a row without a better R@1 after which the training ends early; 0 never.
    precision
        "auto": autocast to bfloat16 on GPUs that have it, float32 elsewhere; the loss is always in float32.
    piece
        Pairs that a worker encodes at a time where a batch does not fit into its memory: every pair is
        encoded twice, the gradient is that of the whole batch (`cico_model.accumulation`). 0: all at once.
    run
        Workers, checkpoints and what else does not change what is trained.
    tracking
        Where the figures go while it trains.
    """

    size: Literal["paper", "small", "tiny"] = "tiny"
    pooling: Literal["fine", "mean", "class"] = "fine"
    design: Literal["balance", "depart"] = "balance"
    weight: float = Field(default=0.5, ge=0, le=1)
    temperature: float = Field(default=0.07, ge=LEAST_TEMPERATURE)
    tokenizer: Literal["auto", "corpus", "clip"] = "auto"
    vocab_size: int = Field(default=2000, ge=600)
    alpha: float | None = Field(default=None, ge=0, le=1)
    stride: int = Field(default=1, ge=1)
    epochs: int = Field(default=60, ge=1)
    batch_size: int = Field(default=64, ge=2)
    optimizer: Literal["adamw", "published"] = "adamw"
    lr: float = Field(default=7e-4, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    augment: float = Field(default=0.5, ge=0, le=1)
    augment_kind: Literal["swap", "deletion"] = "swap"
    drop_windows: float = Field(default=0.1, ge=0, lt=1)
    noise: float = Field(default=0.0, ge=0)
    evaluate_every: int = Field(default=10, ge=1)
    patience: int = Field(default=0, ge=0)
    precision: PrecisionName = "auto"
    piece: int = Field(default=0, ge=0)
    seed: int = 0
    run: RunSettings = RunSettings()
    tracking: TrackingSettings = TrackingSettings()

    @classmethod
    def published(cls) -> "RetrievalSettings":
        """Training as the paper does it (method 7)."""
        return cls(
            size="paper", epochs=200, batch_size=512, optimizer="published", lr=1e-5, weight_decay=1e-3,
            dropout=0.0, drop_windows=0.0, evaluate_every=1,
        )  # fmt: skip

    def decisive(self) -> dict[str, Any]:
        """The settings that change what comes out."""
        return decisive(self)

    @model_validator(mode="after")
    def _compiled_at_once(self) -> "RetrievalSettings":
        if self.piece and self.run.compile != "off":
            raise ValueError("compiled towers encode all pairs at once: set piece or run.compile, not both")
        return self
