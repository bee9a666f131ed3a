"""The signer is where something moves, and signs from the first motion to the last."""

from pathlib import Path

import numpy as np
from sample_videos import signing, write

from cico_platform.corpus.signer_box import find_signer
from cico_platform.corpus.video import decode_clip


def test_the_square_holds_what_moves_and_little_else() -> None:
    crop, _, _ = find_signer(signing())
    x0, y0, x1, y1 = crop
    assert abs((x1 - x0) * 192 - (y1 - y0) * 108) < 1  # a square, in pixels
    assert x0 * 192 <= 20
    assert x1 * 192 >= 72
    assert y0 * 108 <= 48
    assert y1 * 108 >= 100
    assert (x1 - x0) * 192 < 80


def test_the_still_head_and_tail_are_cut() -> None:
    _, first, last = find_signer(signing(60, move=(20, 40)))
    assert 18 <= first <= 20
    assert 40 <= last <= 48


def test_small_motion_at_the_end_is_part_of_the_sign() -> None:
    frames = signing(60, move=(10, 25))
    for index in range(30, 50):  # the arm rests, a finger goes on
        frames[index, 40 : 40 + index - 29, 58:61] = 250
    frames[50:, 40:60, 58:61] = 250
    assert find_signer(frames).last_frame >= 49


def test_noise_and_a_black_last_frame_are_not_motion() -> None:
    frames = signing()
    noisy = frames + np.random.default_rng(1).normal(0, 4, frames.shape)
    noisy = noisy.clip(0, 255).astype(np.uint8)
    noisy[-1] = 0
    quiet, loud = find_signer(frames), find_signer(noisy)
    assert np.abs(np.subtract(quiet.crop, loud.crop)).max() < 0.08
    assert loud.last_frame < 39


def test_where_nothing_moves_the_middle_and_all_frames_are_taken() -> None:
    crop, first, last = find_signer(signing(20, move=(0, 0)))
    assert (first, last) == (0, 19)
    assert np.allclose(crop, [(192 - 108) / 2 / 192, 0, (192 + 108) / 2 / 192, 1], atol=1e-4)


def test_a_single_frame_has_a_box() -> None:
    assert find_signer(signing(1))[1:] == (0, 0)


def test_a_file_and_its_frames_have_the_same_box(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", signing())
    clip = decode_clip(path)
    assert find_signer(path) == find_signer(clip.frames, clip.fps)


def test_real_clips_keep_the_handshape_in_which_they_end(shared_dir: Path) -> None:
    for name in ("1", "2", "U", "V"):  # they differ by fingers alone, once the arm is up
        path = shared_dir / "corpus/isl_avatar" / f"{name}.mp4"
        count = len(decode_clip(path, size=8).frames)
        box = find_signer(path)
        assert box.last_frame >= count - 5
        assert box.first_frame >= 3
        assert 0.5 <= box.crop[3] - box.crop[1] <= 0.7
