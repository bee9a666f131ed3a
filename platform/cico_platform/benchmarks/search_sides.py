"""The sides of `cico bench search`: everything scored exactly, and the three stages of the index."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cico_model.config import TowerConfig
from cico_model.ragged import ragged_scores
from cico_platform.benchmarks.search_material import Material, read_material, read_queries
from cico_platform.benchmarks.settings import Task
from cico_platform.benchmarks.side import Outputs, Work
from cico_platform.encoding.texts import TextQuery
from cico_platform.index.clips import IndexedClip
from cico_platform.index.embedded import EmbeddedIndex
from cico_platform.index.ranking import Ranking, Stages
from cico_platform.index.token_storage import Quantization

Begin = Callable[[], None]
Answer = Callable[[NDArray[np.float32]], list[int]]
COLLECTION, INDEX = "bench", "index"
DEPTH = 10
# Clips whose tokens are in memory at a time, in single precision.
BLOCK = 2048
BATCH = 256


def exhaustive(task: Task, begin: Begin) -> Work:
    """Every clip scored exactly: half precision mapped from disk, block by block, all threads."""
    config, material = _given(task)
    begin()

    def answer(text: NDArray[np.float32]) -> list[int]:
        return [int(i) for i in np.argsort(-exact_scores(material, text, config), kind="stable")[:DEPTH]]

    return _work(task, answer)


def staged(task: Task, begin: Begin) -> Work:
    """HNSW, then MaxSim and the mean, then the exact ranking."""
    config, _ = _given(task)
    begin()
    index = EmbeddedIndex(task.folder / INDEX, must_exist=True)
    ranking = Ranking(index, COLLECTION, config, Stages(**task.values.get("stages", {})))

    def answer(text: NDArray[np.float32]) -> list[int]:
        found = ranking.by_text(TextQuery(text, []), DEPTH)
        return [int(ranked.hit.video_id) for ranked in found]

    return _work(task, answer)


def exact_scores(material: Material, text: NDArray[np.float32], config: TowerConfig) -> NDArray[np.float32]:
    """Score of every clip with a text, float32 [V]."""
    firsts, ends = material.firsts, material.firsts + material.lengths
    parts = []
    for begin in range(0, len(material.lengths), BLOCK):
        end = min(begin + BLOCK, len(material.lengths))
        rows = material.rows[firsts[begin] : ends[end - 1]]
        lengths = material.lengths[begin:end]
        parts.append(ragged_scores(rows, lengths, text, weight=config.weight, temperature=config.temperature))
    return np.concatenate(parts)


def build_index(
    material: Material,
    folder: Path,
    say: Callable[[str], None] = lambda _: None,
    quantization: Quantization = "none",
) -> float:
    """Fill an embedded index with the clips, named by their numbers; returns the seconds that it took."""
    began, count = time.monotonic(), len(material.lengths)
    with EmbeddedIndex(folder / INDEX) as index:
        index.create(COLLECTION, material.rows.shape[1], quantization)
        for first in range(0, count, BATCH):
            numbers = range(first, min(count, first + BATCH))
            index.upsert(COLLECTION, [_clip(number, material.clip(number)) for number in numbers])
            if first and first % 20_480 == 0:
                say(f"  {first} of {count} clips are in the index")
        index.alias("live", COLLECTION)
    return time.monotonic() - began


def disk_bytes(folder: Path) -> int:
    """What the files of a folder take on disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def _clip(number: int, tokens: NDArray[np.float16]) -> IndexedClip:
    """A clip with a payload as large as a corpus' is."""
    payload = {
        "text": f"what clip number {number} says in a sentence of some words",
        "text_id": f"text-{number}",
        "path": f"/corpus/videos/clip-{number:08d}.mp4",
        "corpus": "bench",
        "language": "en",
        "sign_language": "ase",
        "signer": f"signer-{number % 20}",
        "split": "test",
        "fps": 25.0,
        "duration": len(tokens) / 5,
        "window_starts": list(range(0, 4 * len(tokens), 4)),
    }
    return IndexedClip(str(number), tokens, payload)


def _given(task: Task) -> tuple[TowerConfig, Material]:
    config = TowerConfig(**task.values["config"])
    return config, read_material(task.folder, config.embed_dim)


def _work(task: Task, answer: Answer) -> Work:
    """A repeat asks all queries, one after the other, and takes as long as the median one."""
    queries = read_queries(task.folder)

    def run() -> Outputs:
        seconds, found = [], []
        for text in queries:
            began = time.perf_counter()
            top = answer(text)
            seconds.append(time.perf_counter() - began)
            found.append(top + [-1] * (DEPTH - len(top)))
        each: dict[str, Any] = {"latencies": np.array(seconds), "found": np.array(found)}
        return {**each, "seconds": np.array(float(np.median(seconds)))}

    return Work(run, lambda: [answer(text) for text in queries[:5]])
