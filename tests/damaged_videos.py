"""Damaged files, made from a good video by rule: what a crawl, a broken disk or an attacker leaves behind."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

Damage = Callable[[bytes, int], bytes]


def truncated(data: bytes, number: int) -> bytes:
    return data[: len(data) * (number % 10) // 10]


def flipped(data: bytes, number: int) -> bytes:
    rng, damaged = np.random.default_rng(number), bytearray(data)
    for place in rng.integers(0, len(data), 1 + number % 200):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def zeroed(data: bytes, number: int) -> bytes:
    first = len(data) * (number % 10) // 10
    return data[:first] + bytes(len(data) // 10) + data[first + len(data) // 10 :]


def noise(data: bytes, number: int) -> bytes:
    return np.random.default_rng(number).bytes(1000 + number)


def renamed(data: bytes, number: int) -> bytes:
    kinds = (
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"%PDF-1.7",
        b"<html>",
        b"#EXTM3U\n/etc/passwd\n",
    )
    return kinds[number % len(kinds)] * 40


def huge(data: bytes, number: int) -> bytes:
    """The size in the sample entry and in the track header says 65,535 or so."""
    damaged = bytearray(data)
    at = damaged.index(b"avc1") + 28
    damaged[at : at + 4] = (0xFFFF - number).to_bytes(2, "big") * 2
    at = damaged.index(b"tkhd") + 4 + 76
    damaged[at : at + 8] = ((0xFFFF - number) << 16).to_bytes(4, "big") * 2
    return bytes(damaged)


def timeless(data: bytes, number: int) -> bytes:
    """A time scale of nothing: no frame has a time, and there are no frames a second."""
    damaged = bytearray(data)
    at = damaged.index(b"mdhd") + 4 + 12
    damaged[at : at + 4] = bytes(4)
    return bytes(damaged)


def shuffled(data: bytes, number: int) -> bytes:
    blocks = [data[i : i + 512] for i in range(0, len(data), 512)]
    order = np.random.default_rng(number).permutation(len(blocks))
    return b"".join(blocks[i] for i in order)


DAMAGES: tuple[Damage, ...] = (truncated, flipped, zeroed, noise, renamed, huge, timeless, shuffled)


def write_damaged(folder: Path, good: bytes, count: int) -> list[Path]:
    """`count` damaged files of all kinds, some of which are no files at all."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for number in range(count):
        damage = DAMAGES[number % len(DAMAGES)]
        path = folder / f"{number:03d}-{damage.__name__}.mp4"
        path.write_bytes(damage(good, number // len(DAMAGES)))
        paths.append(path)
    odd = paths[-4:]
    for path in odd:
        path.unlink()
    os.mkfifo(odd[0])
    odd[1].symlink_to(odd[1].name)
    odd[2].mkdir()
    odd[3].write_bytes(good)
    odd[3].chmod(0)
    return paths
