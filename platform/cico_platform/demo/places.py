"""Where the demo keeps what each stage makes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """The folders under the demo's work folder."""

    root: Path

    @property
    def source(self) -> Path:
        """A person's own clips, as read."""
        return self.root / "source"

    @property
    def dictionary(self) -> Path:
        """The synthetic dictionary, where the person's clips name no signs."""
        return self.root / "dictionary"

    @property
    def corpus(self) -> Path:
        """The corpus that the demo runs on."""
        return self.root / "corpus"

    @property
    def agnostic(self) -> Path:
        """The domain-agnostic sign encoder."""
        return self.root / "encoders" / "agnostic"

    @property
    def segments(self) -> Path:
        """Pseudo-labels."""
        return self.root / "segments"

    @property
    def domain_aware(self) -> Path:
        """The domain-aware sign encoder."""
        return self.root / "encoders" / "domain_aware"

    @property
    def features(self) -> Path:
        """Sign features."""
        return self.root / "features"

    def variant(self, name: str) -> Path:
        """The retrieval model of a variant."""
        return self.root / "variants" / name

    def report(self, name: str) -> Path:
        """A variant's figures on the test split."""
        return self.root / "reports" / name

    @property
    def settings(self) -> Path:
        """How the full method was trained, for `--config`."""
        return self.root / "retrieval.yaml"

    @property
    def model(self) -> Path:
        """The variant that did best on the validation split."""
        return self.root / "model"

    @property
    def index(self) -> Path:
        """The search index."""
        return self.root / "index"
