"""Settings of a reproduction: the paper's, by step; each can be overridden by its name."""

from pydantic import Field

from cico_platform.corpus.read import ReadSettings
from cico_platform.evaluation.evaluate import EvaluationSettings
from cico_platform.pipelines.features import FeatureSettings
from cico_platform.pipelines.mine import MineSettings
from cico_platform.reproduce.recipes import Recipe, Texts
from cico_platform.settings import Settings
from cico_platform.training.retrieval import RetrievalSettings
from cico_platform.training.sign_encoder import SignEncoderSettings


class ReproduceSettings(Settings):
    """How a corpus of the paper is reproduced.

    Attributes
    ----------
    texts
        "translated": CiCo's machine translations into English; "original": the corpus' own texts.
    seeds
        Trainings of the retrieval model, from the seed of `training` on.
    validation_share
        Part of the training texts that becomes the validation split where the corpus gives none.
    mining, adaptation, features, training, evaluation
        Settings of the steps, as those of `cico mine`, `train sign-encoder`, `features`, `train retrieval`
        and `evaluate`.
    """

    texts: Texts = "translated"
    seeds: int = Field(default=3, ge=1)
    validation_share: float = Field(default=0.05, gt=0, lt=1)
    mining: MineSettings = MineSettings()
    adaptation: SignEncoderSettings = SignEncoderSettings.published()
    features: FeatureSettings = FeatureSettings()
    training: RetrievalSettings = RetrievalSettings.published()
    evaluation: EvaluationSettings = EvaluationSettings()

    @classmethod
    def of(cls, recipe: Recipe) -> "ReproduceSettings":
        """The paper's settings for a corpus."""
        training = RetrievalSettings.published().model_copy(update={"alpha": recipe.alpha})
        return cls(texts=recipe.texts, training=training)


def reading(recipe: Recipe, find_signer: bool) -> ReadSettings:
    """How clips are read: whole, cut to given boxes alone, unless the signer has to be searched for."""
    return ReadSettings(find_signer=find_signer, trim=False, sign_language=recipe.sign_language)
