"""Settings of the demo, and the variants that it compares."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cico_platform.settings import Settings

CorpusKind = Literal["synthetic", "words", "sentences"]
VariantName = Literal["agnostic", "domain_aware", "clcl", "augmented"]
VariantChoice = Literal["default", "all"]


class DemoSettings(Settings):
    """Where the demo works and on what.

    Attributes
    ----------
    work_dir
        Folder of everything that the demo makes.
    videos, labels
        A person's own labelled clips; without them the synthetic corpus is made.
    encoder
        Checkpoint of the domain-agnostic sign encoder to start from; the shipped one if it is None.
    quick
        Train nothing: shipped encoders and a shipped retrieval model index a few drawn clips.
    from_scratch
        Draw a dictionary, too, and train the domain-agnostic sign encoder on it; every window is used.
    variants
        "default": one vector a side, and the full method. "all": the four of the README's table.
    seed
        Decides the synthetic corpus, the splits and every training.
    small
        A few clips and a few epochs: shows in some two minutes how it goes, not how well.
    """

    work_dir: Path = Path("demo")
    videos: Path | None = None
    labels: Path | None = None
    encoder: Path | None = None
    quick: bool = False
    from_scratch: bool = False
    variants: VariantChoice = "default"
    seed: int = 0
    small: bool = False


@dataclass(frozen=True)
class Variant:
    """One line of the demo's table: each adds one part of the method to the line before it in `VARIANTS`."""

    name: VariantName
    title: str
    domain_aware: bool
    pooling: Literal["mean", "fine"]
    augment: bool


VARIANTS: tuple[Variant, ...] = (
    Variant("agnostic", "agnostic only", domain_aware=False, pooling="mean", augment=False),
    Variant("domain_aware", "+ domain-aware", domain_aware=True, pooling="mean", augment=False),
    Variant("clcl", "+ CLCL", domain_aware=True, pooling="fine", augment=False),
    Variant("augmented", "+ text augmentation", domain_aware=True, pooling="fine", augment=True),
)
DEFAULT_VARIANTS: tuple[VariantName, ...] = ("domain_aware", "augmented")


def chosen_variants(choice: VariantChoice) -> tuple[Variant, ...]:
    """The variants that are trained, in the order of the table."""
    return tuple(v for v in VARIANTS if choice == "all" or v.name in DEFAULT_VARIANTS)
