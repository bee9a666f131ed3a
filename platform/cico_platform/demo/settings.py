"""What the demo may be told, and the four variants that it compares."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

CorpusKind = Literal["synthetic", "words", "sentences"]
VariantName = Literal["agnostic", "domain_aware", "clcl", "augmented"]


class DemoSettings(BaseModel):
    """Where the demo works and on what.

    Attributes
    ----------
    work_dir
        Folder of everything that the demo makes.
    videos, labels
        A person's own labelled clips; without them the synthetic corpus is made.
    seed
        Decides the synthetic corpus, the splits and every training.
    small
        A few clips and a few epochs: shows in some two minutes how it goes, not how well.
    """

    work_dir: Path = Path("demo")
    videos: Path | None = None
    labels: Path | None = None
    seed: int = 0
    small: bool = False


@dataclass(frozen=True)
class Variant:
    """One line of the demo's table: each adds one part of the method to the line before."""

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
