"""Sample stores for tests, built in this process."""

from collections.abc import Sequence
from pathlib import Path

from cico_platform.corpus.manifest import Corpus
from cico_platform.storage import Place
from cico_platform.training.data.cuts import Cut, FrameSettings, plan_store
from cico_platform.training.data.sample_builder import StoreSummary, finish_store
from cico_platform.training.data.shard_writer import write_shard


def build_here(corpus: Path, cuts: Sequence[Cut], folder: Place, settings: FrameSettings) -> StoreSummary:
    """`build_sample_store` without Ray."""
    plan = plan_store(Corpus(corpus), cuts, settings)
    folder.mkdir(parents=True, exist_ok=True)
    for shard in plan.shards:
        assert not write_shard(shard, folder, settings).failure
    return finish_store(plan, folder, settings)
