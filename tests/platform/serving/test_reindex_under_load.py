"""`cico reindex` and its way back while people search: nothing fails, and no answer is of two models."""

import asyncio
import json
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from tiny_corpus import MICRO, write_corpus, write_encoder

from cico_model.config import TOWERS
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import save_retrieval_model
from cico_model.text import CorpusTokenizer
from cico_platform.benchmarks.load import Answer, Ask, Clients, figures
from cico_platform.benchmarks.services import OURS, our_service
from cico_platform.corpus.manifest import Corpus, write_manifest
from cico_platform.pipelines.features import extract_features
from cico_platform.pipelines.indexing import build_index

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(500), pytest.mark.usefixtures("ray_cluster")]
RATE = 5.0
# However slow the machine is, nothing shall be refused for it.
PATIENT = ("service.searches=1000", "service.text_seconds=100", "service.rank_seconds=100")
# Scores of two models are much further apart; those of one differ with the batch that a text is encoded in.
SAME_SCORE = 1e-4
Found = list[tuple[str, float]]


def make_index(folder: Path) -> list[str]:
    """A corpus, features, two models, `folder/index` with the first; returns texts to search for."""
    corpus = write_corpus(folder / "corpus", train=6, damaged=False)
    sentences = [clip for clip in Corpus(corpus).clips() if clip.label is None]
    write_manifest(corpus, sentences)
    extract_features(corpus, [str(write_encoder(folder / "encoder"))], 1.0, folder / "features")
    config = replace(TOWERS["tiny"], feature_dim=MICRO.feature_dim)
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = RetrievalModel(config, CorpusTokenizer.train(["red green blue white"])).eval()
        save_retrieval_model(folder / f"model-{seed}", model, {"alpha": 1.0})
    build_index(corpus, folder / "features", folder / "model-0", folder / "index")
    return sorted({clip.text for clip in sentences})


def found(answer: Answer) -> Found:
    """What an answer found: clips with their scores."""
    return [(row["video_id"], row["score"]) for row in json.loads(answer.body)["results"]]


def same(one: Found, other: Found) -> bool:
    """Whether two answers are of one model."""
    ours, theirs = dict(one), dict(other)
    if ours.keys() != theirs.keys():
        return False
    return bool(np.allclose(list(ours.values()), [theirs[name] for name in ours], atol=SAME_SCORE))


async def live(clients: Clients) -> str:
    """The collection that the service answers from."""
    async with httpx.AsyncClient(base_url=clients.address, timeout=60) as client:
        return str((await client.get("/readyz")).json()["collection"])


async def cico(*words: str) -> None:
    """Run the command in another process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OURS, *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


def test_no_search_fails_and_none_mixes_models_while_a_new_one_goes_live_and_the_old_comes_back(
    tmp_path: Path,
) -> None:
    asks = [Ask.text(text, limit=100) for text in make_index(tmp_path)]
    index = str(tmp_path / "index")

    async def under_load(clients: Clients, work: Coroutine[object, object, None]) -> list[Answer]:
        """Everything that is answered until the work is done and the service has noticed."""
        before, running, answers = await live(clients), asyncio.create_task(work), []
        while not running.done() or await live(clients) == before:
            answers += await clients.steady(lambda number: asks[number % len(asks)], RATE, 3.0)
        await running
        return answers + await clients.steady(lambda number: asks[number % len(asks)], RATE, 3.0)

    async def main(address: str) -> tuple[list[dict[Ask, Found]], list[list[Answer]]]:
        async with Clients(address, keep=True) as clients:

            async def known() -> dict[Ask, Found]:
                answers = await clients.steady(lambda number: asks[number], RATE, len(asks) / RATE)
                return {answer.ask: found(answer) for answer in answers}

            told, loads = [await known()], []
            corpus, model = str(tmp_path / "corpus"), str(tmp_path / "model-1")
            for words in (
                ("reindex", corpus, "--model", model, "--index", index, "--force"),
                ("reindex", "--rollback", "--index", index),
            ):
                loads.append(await under_load(clients, cico(*words)))
                told.append(await known())
            return told, loads

    with our_service(tmp_path / "index", tmp_path, *PATIENT) as service:
        (old, new, again), loads = asyncio.run(main(service.address))
    assert all(same(old[ask], again[ask]) for ask in asks)
    assert not any(same(old[ask], new[ask]) for ask in asks)
    for answers in loads:
        told = figures(answers, len(answers) / RATE)
        assert told.accepted == told.sent, told
        one_model = [(same(found(a), old[a.ask]), same(found(a), new[a.ask])) for a in answers]
        assert all(is_old != is_new for is_old, is_new in one_model)
        # The load met both.
        assert {is_old for is_old, _ in one_model} == {True, False}
