"""Any frame of a tile can be read by itself, and looks as it did."""

from pathlib import Path

import numpy as np
import pytest
from sample_videos import signing

from cico_platform.corpus.tile import read_tile, tile_length, write_tile


@pytest.fixture(scope="module")
def tile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiles") / "new folder" / "a.tile"
    write_tile(path, signing(20))
    return path


def test_the_frames_asked_for_come_in_their_order_and_as_often_as_asked(tile: Path) -> None:
    frames = signing(20)
    chosen = [19, 0, 7, 7, 12]
    read = read_tile(tile, chosen)
    assert read.shape == frames[chosen].shape
    assert np.abs(read.astype(int) - frames[chosen]).mean() < 2
    assert np.array_equal(read[2], read[3])


def test_colours_are_not_exchanged(tmp_path: Path) -> None:
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    frames[..., 0] = 220
    write_tile(tmp_path / "red.tile", frames)
    red, green, blue = read_tile(tmp_path / "red.tile", [1])[0, 16, 16].astype(int)
    assert red > 200
    assert green < 20
    assert blue < 20


def test_a_tile_knows_its_length(tile: Path) -> None:
    assert tile_length(tile) == 20
