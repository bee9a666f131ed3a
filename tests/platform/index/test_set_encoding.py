"""One vector stands for a clip's tokens: its product with a query's approximates each token's best match."""

import numpy as np
import pytest

from cico_platform.index.set_encoding import (
    BLOCK,
    SetEncoder,
    point_vector,
    point_vectors,
    query_vector,
)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def drawn(seed: int, *shape: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def plain(encoder: SetEncoder, tokens: np.ndarray, clip: bool) -> np.ndarray:
    """Token by token, bucket by bucket, as the paper says, in both directions."""
    parts = []
    for drawings, match in ((encoder.matched, clip), (encoder.summed, not clip)):
        planes = drawings.planes.reshape(tokens.shape[1], drawings.repetitions, -1)
        project = drawings.projections.reshape(tokens.shape[1], drawings.repetitions, drawings.width)
        for r in range(drawings.repetitions):
            bits = (tokens @ planes[:, r] > 0).astype(int)
            small = tokens @ project[:, r]
            for bucket in range(drawings.buckets):
                wanted = np.array([bucket >> i & 1 for i in range(bits.shape[1])])
                apart = (bits != wanted).sum(axis=1)
                own = small[apart == 0]
                if match:
                    parts.append(own.mean(axis=0) if len(own) else small[apart.argmin()])
                else:
                    parts.append(own.sum(axis=0) / len(tokens))
    return unit(np.concatenate(parts))


@pytest.mark.parametrize("tokens", [drawn(0, 1, 16), drawn(1, 30, 16), drawn(2, 5, 4), drawn(3, 2, 1)])
@pytest.mark.parametrize("planes", [2, 3])
def test_it_is_the_encoding_that_the_paper_defines(tokens: np.ndarray, planes: int) -> None:
    encoder = SetEncoder(tokens.shape[1], planes=planes)
    np.testing.assert_allclose(encoder.clip(tokens), plain(encoder, tokens, clip=True), atol=1e-5)
    np.testing.assert_allclose(encoder.query(tokens), plain(encoder, tokens, clip=False), atol=1e-5)
    assert encoder.clip(tokens).shape == (encoder.size,)


def test_clips_are_encoded_together_as_alone() -> None:
    rng = np.random.default_rng(7)
    clips = [
        (9 * drawn(seed, int(rng.integers(1, 9)), 8)).astype(np.float16) for seed in range(2 * BLOCK + 3)
    ]
    alone = np.stack([point_vector(tokens) for tokens in clips])
    np.testing.assert_allclose(point_vectors(clips), alone, atol=1e-6)


def test_every_process_draws_the_same_planes() -> None:
    """An index is searched by others than built it: what they draw must never change."""
    tokens = np.eye(3, 6, dtype=np.float32)
    assert np.array_equal(SetEncoder(6).clip(tokens), point_vector(tokens))
    assert np.array_equal(SetEncoder(6).query(tokens), query_vector(tokens))
    assert float(point_vector(tokens) @ np.arange(1024)) == pytest.approx(360.6485, abs=0.01)


def test_projections_lose_nothing_together() -> None:
    drawings = SetEncoder(6).matched
    turns = drawings.projections[:, :126].reshape(6, -1, 6).transpose(1, 0, 2)
    for turn in turns:
        np.testing.assert_allclose(turn @ turn.T, 3 * np.eye(6), atol=1e-5)


def test_clips_that_hold_what_is_looked_for_come_first() -> None:
    """Six tokens, each somewhere in the right clips, among 400 clips: where the mean says little."""
    rng = np.random.default_rng(3)
    wanted = drawn(4, 6, 32)
    clips = [drawn(100 + i, 30, 32) for i in range(400)]
    for number in range(10):
        clips[number][rng.permutation(30)[:6]] = unit(wanted + 0.1 * rng.normal(size=wanted.shape))
    encoder = SetEncoder(32)
    order = np.argsort([-float(encoder.clip(clip) @ encoder.query(wanted)) for clip in clips])
    means = np.argsort([-float(clip.mean(axis=0) @ wanted.mean(axis=0)) for clip in clips])
    kept = [np.isin(np.arange(10), ranked[:40]).mean() for ranked in (order, means)]
    assert kept[0] >= 0.9
    assert kept[0] >= kept[1]


def test_the_score_counts_both_directions() -> None:
    """Of two clips that hold all of the query's tokens, the one with nothing else in it is found first."""
    wanted = drawn(5, 6, 32)
    only, more = wanted[[0, 1, 2, 3, 4, 5] * 4], np.concatenate([wanted, drawn(6, 18, 32)])
    encoder = SetEncoder(32)
    sums = [encoder.matched.size, encoder.size]
    for clip in (only, more):
        assert encoder.clip(clip).shape == (sums[1],)
    back = [float(encoder.clip(clip)[sums[0] :] @ encoder.query(wanted)[sums[0] :]) for clip in (only, more)]
    assert back[0] > back[1]
    assert float(encoder.clip(only) @ encoder.query(wanted)) > float(
        encoder.clip(more) @ encoder.query(wanted)
    )
