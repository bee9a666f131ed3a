"""How much the demo trains: enough for its corpora on two cores within a quarter of an hour."""

from dataclasses import dataclass

from cico_platform.demo.settings import CorpusKind, Variant
from cico_platform.pipelines.mine import MineSettings
from cico_platform.training.retrieval import RetrievalSettings
from cico_platform.training.sign_encoder import SignEncoderSettings

# Below these, what was mined is too little to adapt to.
LEAST_SEGMENTS = 200
LEAST_LABELS = 5
# Signs of the demo's corpora are as short as a window: another of the same class opens half a window on.
DROP_WITHIN = 8


@dataclass(frozen=True)
class Recipe:
    """Settings of the demo's trainings; the seed decides them all."""

    agnostic: SignEncoderSettings
    mining: MineSettings
    adaptation: SignEncoderSettings
    alpha: float
    seed: int

    def retrieval(self, variant: Variant, domain_aware: bool) -> RetrievalSettings:
        """Of one of the variants; `domain_aware` says whether there is a second encoder at all."""
        return RetrievalSettings(
            pooling=variant.pooling,
            augment=0.5 if variant.augment else 0.0,
            alpha=self.alpha if variant.domain_aware and domain_aware else 1.0,
            seed=self.seed,
        )


def recipe(kind: CorpusKind, seed: int) -> Recipe:
    """The recipe for a kind of corpus."""
    agnostic = SignEncoderSettings(seed=seed)
    adaptation = SignEncoderSettings(
        epochs=4, lr=2e-4, warmup=0.05, backdrop=0.0, seed=seed, with_dictionary=kind != "sentences"
    )
    return Recipe(agnostic, MineSettings(drop_within=DROP_WITHIN), adaptation, alpha=0.8, seed=seed)
