"""What a reproduction writes may lie behind a URL."""

from pathlib import Path

from miniatures import csl_daily, published_clip, published_encoder

from cico_model.config import SIGN_ENCODERS
from cico_platform.corpus.manifest import Corpus
from cico_platform.reproduce.recipes import RECIPES
from cico_platform.reproduce.run import open_chain
from cico_platform.reproduce.settings import ReproduceSettings
from cico_platform.storage import place


def test_steps_write_to_a_bucket_and_are_found_there(bucket: str, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    published_encoder(weights / "bsl5k.pth.tar", 7, SIGN_ENCODERS["tiny"])
    published_clip(weights / "ViT-B-32.pt", layers=1, video_width=64, text_width=64)
    recipe = RECIPES["csl-daily"]
    home = place(f"{bucket}/paper") / recipe.name

    def run() -> list[tuple[int, int]]:
        chain, missing = open_chain(recipe, csl, weights, home, ReproduceSettings.of(recipe))
        assert not [file for file in missing if file.needed]
        before_mining = chain.steps()[:4]
        ran = [step.run(lambda *_, **__: None) for step in before_mining]
        assert all(step.is_finished for step in before_mining)
        assert not any(step.is_finished for step in chain.steps()[4:])
        return [(summary.done, summary.skipped) for summary in ran]

    csl = csl_daily(tmp_path / "root")
    assert run() == [(0, 0), (0, 0), (11, 0), (9, 0)]
    assert [clip.split for clip in Corpus(home / "corpus").clips()].count("test") == 4
    assert [skipped for _, skipped in run()][2:] == [11, 9]
