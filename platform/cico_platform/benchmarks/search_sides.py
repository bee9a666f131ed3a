"""The sides of `cico bench search`: everything scored exactly, and the three stages of the index."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cico_model.config import TowerConfig
from cico_model.ragged import ragged_scores
from cico_platform.benchmarks.own_memory import MIB, own_bytes
from cico_platform.benchmarks.search_material import Material, read_material, read_queries
from cico_platform.benchmarks.settings import Task
from cico_platform.benchmarks.side import Outputs, Work
from cico_platform.encoding.texts import TextQuery
from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import IndexedClip
from cico_platform.index.embedded import EmbeddedIndex
from cico_platform.index.ranking import Ranking, Stages
from cico_platform.index.token_storage import Quantization

Begin = Callable[[], None]
Answer = Callable[[NDArray[np.float32]], list[int]]
# A collection of the bench's own, and folders: an embedded index, and tokens of one on a server.
COLLECTION, INDEX, TOKENS = "cico-bench", "index", "tokens"
DEPTH = 10
# Clips whose tokens are in memory at a time, in single precision.
BLOCK = 2048
# Clips that are written at once, and bytes of their tokens.
BATCH, BATCH_BYTES = 4096, 32 << 20
WARM_UP = 5


def exhaustive(task: Task, begin: Begin) -> Work:
    """Every clip scored exactly: half precision mapped from disk, block by block, all threads."""
    config, material = _given(task)
    begin()

    def answer(text: NDArray[np.float32]) -> list[int]:
        return [int(i) for i in np.argsort(-exact_scores(material, text, config), kind="stable")[:DEPTH]]

    queries = read_queries(task.folder)[: task.values["exact"]]
    return Work(_work(queries, answer, lambda: {}).run, lambda: answer(queries[0]))


def staged(task: Task, begin: Begin) -> Work:
    """HNSW, then MaxSim and the encoding, then the exact ranking."""
    config, _ = _given(task)
    queries, url = read_queries(task.folder), task.values["url"]
    begin()
    began = time.perf_counter()
    index = open_server(url, task.folder) if url else open_embedded(task.folder, must_exist=True)
    ranking = Ranking(index, COLLECTION, config, Stages(**task.values["stages"]))

    def answer(text: NDArray[np.float32]) -> list[int]:
        found = ranking.by_text(TextQuery(text, []), DEPTH)
        return [int(ranked.hit.video_id) for ranked in found]

    answer(queries[0])
    ready = time.perf_counter() - began

    def told() -> dict[str, Any]:
        return {"candidates": ranking.stages.candidates, "ready": ready, "own_mib": own_bytes() / MIB}

    return _work(queries, answer, told, getattr(index, "moved", None))


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


def open_embedded(folder: Path, *, must_exist: bool = False) -> VectorIndex:
    """The embedded index in the bench's folder."""
    return EmbeddedIndex(folder / INDEX, must_exist=must_exist)


def open_server(url: str, folder: Path) -> VectorIndex:
    """The index on a server, with its tokens in the bench's folder."""
    from cico_platform.benchmarks.counted_server import CountedServerIndex

    return CountedServerIndex(url, folder / TOKENS)


def build_index(
    index: VectorIndex,
    material: Material,
    say: Callable[[str], None] = lambda _: None,
    quantization: Quantization = "none",
) -> float:
    """Fill an index with the clips, named by their numbers; returns the seconds that it took."""
    began, count, dim = time.monotonic(), len(material.lengths), material.rows.shape[1]
    index.delete(COLLECTION)
    index.create(COLLECTION, dim, quantization)
    firsts = material.firsts
    batch = max(1, min(BATCH, BATCH_BYTES * count // max(1, material.rows.nbytes)))
    for first in range(0, count, batch):
        clips = [
            _clip(number, material.rows[firsts[number] : firsts[number] + material.lengths[number]])
            for number in range(first, min(count, first + batch))
        ]
        index.upsert(COLLECTION, clips)
        if first // 100_000 < (first + batch) // 100_000:
            say(f"  {first + len(clips)} of {count} clips are in the index")
    index.alias(f"{COLLECTION}-live", COLLECTION)
    return time.monotonic() - began


def remove_index(index: VectorIndex) -> None:
    """Remove the collection and all that it made."""
    index.delete(COLLECTION)


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


def _work(
    queries: list[NDArray[np.float32]],
    answer: Answer,
    told: Callable[[], dict[str, Any]],
    moved: Callable[[], int] | None = None,
) -> Work:
    """A repeat asks all queries, one after the other, and takes as long as the median one.

    `moved` says how many bytes have been moved so far.
    """

    def run() -> Outputs:
        seconds, found = [], []
        before = moved() if moved else 0
        for text in queries:
            began = time.perf_counter()
            top = answer(text)
            seconds.append(time.perf_counter() - began)
            found.append(top + [-1] * (DEPTH - len(top)))
        each: dict[str, Any] = {"latencies": np.array(seconds), "found": np.array(found)}
        if moved:
            each["bytes"] = np.array((moved() - before) / len(queries))
        figures = {name: np.array(value) for name, value in told().items()}
        return {**each, **figures, "seconds": np.array(float(np.median(seconds)))}

    return Work(run, lambda: [answer(text) for text in queries[:WARM_UP]])
