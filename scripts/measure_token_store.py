"""Measure a token store of many clips: time to open it, resident memory, time to read and to find.

    scripts/measure_token_store.py FOLDER --clips 1000000 --dim 128

Tokens are holes of sparse files unless `--real` is given; ids, offsets and manifest are real.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from cico_platform.index.token_store.changes import add_segments, create_store
from cico_platform.index.token_store.compaction import compact
from cico_platform.index.token_store.files import HashedFile
from cico_platform.index.token_store.records import SEGMENTS, SegmentInfo
from cico_platform.index.token_store.store import TokenStore
from cico_platform.index.token_store.writer import SegmentWriter

TOKENS = 36


class Holes(HashedFile):
    """Skips tokens, so that the file is sparse."""

    def write(self, content: bytes | memoryview) -> None:
        self.size += len(content)
        os.truncate(self.path, self.size)


def make(folder: Path, clips: int, dim: int, per_segment: int, real: bool) -> float:
    began = time.monotonic()
    layout, rng = create_store(folder, dim), np.random.default_rng(0)
    tokens = rng.normal(size=(TOKENS, dim)).astype(np.float16)
    infos: list[SegmentInfo] = []
    for first in range(0, clips, per_segment):
        with SegmentWriter(folder, layout, "measured") as writer:
            if not real:
                writer._output._token_file.__class__ = Holes
            for number in range(first, min(first + per_segment, clips)):
                writer.add(f"clip-{number:09d}", "0123456789abcdef", np.roll(tokens, number % TOKENS, axis=0))
            infos.append(writer.finish())
    add_segments(folder, infos)
    return time.monotonic() - began


def resident() -> dict[str, float]:
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith("Rss")}
    return {name: round(value, 1) for name, value in found.items()}


def drop_pages(folder: Path) -> None:
    for path in (folder / SEGMENTS).iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def read(folder: Path, clips: int) -> dict[str, object]:
    before = resident()
    began = time.monotonic()
    store = TokenStore.open(folder)
    opened = time.monotonic() - began
    after_open = resident()
    rng = np.random.default_rng(1)
    found = store.find([f"clip-{number:09d}" for number in rng.integers(0, clips, 4400)])
    after_find = resident()
    drop_pages(folder)
    times = []
    for _ in range(2):
        for part in range(4):
            began = time.monotonic()
            store.tokens(found[1100 * part : 1100 * (part + 1)], dead="drop")
            times.append(round(1000 * (time.monotonic() - began), 1))
    began = time.monotonic()
    for number in range(20):
        store.find([f"clip-{number:09d}"])
    single = (time.monotonic() - began) / 20
    return {
        "clips": len(store),
        "segments": len(store.segments),
        "manifest_kib": round(sum(p.stat().st_size for p in folder.glob("manifest-*")) / 1024, 1),
        "open_ms": round(1000 * opened, 1),
        "find_one_ms": round(1000 * single, 2),
        "first_reads_of_1100_ms": times[:4],
        "second_reads_of_1100_ms": times[4:],
        "rss_mib": {"imports": before, "open": after_open, "found": after_find, "read": resident()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--per-segment", type=int, default=28_000)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--read", action="store_true", help="read what was made")
    parser.add_argument("--compact", action="store_true", help="kill every tenth clip and compact")
    told = parser.parse_args()
    if not told.read:
        seconds = make(told.folder, told.clips, told.dim, told.per_segment, told.real)
        print(f"made in {seconds:.0f} s")
    command = [sys.executable, __file__, str(told.folder), "--clips", str(told.clips), "--read"]
    if told.read:
        print(json.dumps(read(told.folder, told.clips)))
        return
    subprocess.run(command, check=True)
    if told.compact:
        from cico_platform.index.token_store.changes import mark_dead

        with TokenStore.open(told.folder) as store:
            rows = np.concatenate([table["row"].to_numpy() for table in store.clips()])
        began = time.monotonic()
        mark_dead(told.folder, np.sort(rows)[::10])
        marked = time.monotonic() - began
        print(f"marked {len(rows) // 10} dead in {marked:.2f} s")
        subprocess.run(command, check=True)
        began = time.monotonic()
        print(compact(told.folder), f"in {time.monotonic() - began:.1f} s")
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
