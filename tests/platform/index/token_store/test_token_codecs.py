"""Tokens keep their directions in every storage, as well as its bytes allow."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from token_stores import write

from cico_platform.errors import InputError
from cico_platform.index.token_store.changes import add_segments, create_store
from cico_platform.index.token_store.codecs import (
    codebook_bytes,
    codebook_from_bytes,
    make_codec,
    train_codebook,
)
from cico_platform.index.token_store.errors import DamagedFileError
from cico_platform.index.token_store.records import Storage
from cico_platform.index.token_store.store import TokenStore

HALF = st.floats(-60000, 60000, width=16)


def shapes() -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(1, 5), st.integers(1, 9))


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@given(tokens=shapes().flatmap(lambda shape: arrays(np.float16, shape, elements=HALF)))
def test_half_precision_is_exact(tokens: np.ndarray) -> None:
    codec = make_codec(tokens.shape[1], "none")
    encoded = codec.encode(tokens)
    assert encoded.shape == (len(tokens), codec.row_bytes)
    assert encoded.tobytes() == tokens.tobytes()
    np.testing.assert_array_equal(codec.decode(encoded), tokens)


@given(tokens=shapes().flatmap(lambda shape: arrays(np.float16, shape, elements=HALF)))
def test_scaled_bytes_are_within_a_half_step(tokens: np.ndarray) -> None:
    codec = make_codec(tokens.shape[1], "scalar")
    encoded = codec.encode(tokens)
    assert encoded.shape == (len(tokens), tokens.shape[1] + 4)
    values = tokens.astype(np.float64)
    step = np.abs(values).max(axis=1, keepdims=True) / 127
    error = np.abs(codec.decode(encoded).astype(np.float64) - values)
    # Half a step, and the rounding to half precision.
    assert np.all(error <= 0.501 * step + np.abs(values) * 2**-10 + 2**-24)


def test_product_codes_find_what_they_learned() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 10)).astype(np.float16)
    sample = centres[rng.integers(0, 40, 4000)]
    codec = make_codec(10, "product", train_codebook(sample))
    assert codec.row_bytes == 3
    decoded = codec.decode(codec.encode(centres))
    assert decoded.shape == centres.shape
    np.testing.assert_allclose(decoded, centres, atol=0.02)


def test_product_codes_of_drawn_tokens_keep_most_of_the_direction() -> None:
    sample = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float16)
    codec = make_codec(16, "product", train_codebook(sample))
    assert codec.row_bytes == 4
    assert cosines(codec.decode(codec.encode(sample[:500])), sample[:500]).mean() > 0.9
    scalar = make_codec(16, "scalar")
    assert cosines(scalar.decode(scalar.encode(sample)), sample).min() > 0.999


def test_a_codebook_is_the_same_for_the_same_sample_and_survives_its_file() -> None:
    sample = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float16)
    codebook = train_codebook(sample)
    assert codebook.shape == (2, 256, 4)
    np.testing.assert_array_equal(train_codebook(sample), codebook)
    np.testing.assert_array_equal(codebook_from_bytes(codebook_bytes(codebook)), codebook)
    assert train_codebook(sample[:5]).shape == (2, 5, 4)


@pytest.mark.parametrize("sample", [np.zeros((0, 4)), np.full((2, 4), np.nan), np.zeros(4)])
def test_no_codebook_is_made_of_nothing(sample: np.ndarray) -> None:
    with pytest.raises(InputError, match="no codebook"):
        train_codebook(sample)


@settings(max_examples=10, deadline=None)
@given(storage=st.sampled_from(["none", "scalar", "product"]), dim=st.integers(1, 13), seed=st.integers(0, 9))
def test_stores_give_back_what_their_codec_keeps(
    tmp_path_factory: pytest.TempPathFactory, storage: Storage, dim: int, seed: int
) -> None:
    folder, rng = tmp_path_factory.mktemp("store"), np.random.default_rng(seed)
    sample = rng.normal(size=(300, dim)).astype(np.float16)
    layout = create_store(folder, dim, storage, sample)
    clips = {f"{i}": rng.normal(size=(i + 1, dim)).astype(np.float16) for i in range(4)}
    info = write(folder, layout, clips)
    add_segments(folder, [info])
    codec = make_codec(dim, storage, train_codebook(sample) if storage == "product" else None)
    tokens = np.concatenate(list(clips.values()))
    assert info.token_file.bytes == len(tokens) * codec.row_bytes
    with TokenStore.open(folder) as store:
        found = store.tokens(store.find(list(clips)))
    assert found.tokens.dtype == np.float16
    np.testing.assert_array_equal(found.tokens, codec.decode(codec.encode(tokens)))


def test_product_quantisation_needs_a_sample_and_its_codebook(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a sample of tokens of width 4"):
        create_store(tmp_path, 4, "product")
    create_store(tmp_path, 4, "product", np.random.default_rng(0).normal(size=(50, 4)))
    (path,) = tmp_path.glob("codebook-*.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=path.name):
        TokenStore.open(tmp_path)
    path.unlink()
    with pytest.raises(DamagedFileError, match=path.name):
        TokenStore.open(tmp_path)
