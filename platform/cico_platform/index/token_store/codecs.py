"""How tokens are kept: in half precision, as scaled bytes, or as codes of product quantisation."""

import io
import warnings
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cico_platform.errors import InputError
from cico_platform.index.clips import Tokens
from cico_platform.index.token_store.records import Storage

Encoded = NDArray[np.uint8]
Decoded = NDArray[np.float16]
Codebook = NDArray[np.float32]

# Of product quantisation: numbers of a token that a byte stands for, as in Qdrant's `x16`; its codes.
WIDTH, CODES = 4, 256
ITERATIONS, SEED, SAMPLE = 10, 0, 16_384
SCALE = np.dtype("<f4")
LARGEST = 127


class Codec(Protocol):
    """Turns tokens into rows of bytes and back.

    Attributes
    ----------
    row_bytes
        Bytes of a token.
    """

    row_bytes: int

    def encode(self, tokens: Tokens) -> Encoded:
        """Return tokens [N, D] as uint8 [N, row_bytes]."""

    def decode(self, rows: Encoded) -> Decoded:
        """Return rows uint8 [N, row_bytes], contiguous, as float16 [N, D]."""


class HalfPrecision:
    """float16, as they are."""

    def __init__(self, dim: int) -> None:
        self.row_bytes = 2 * dim

    def encode(self, tokens: Tokens) -> Encoded:
        """See `Codec`."""
        return np.ascontiguousarray(tokens, dtype="<f2").view(np.uint8)

    def decode(self, rows: Encoded) -> Decoded:
        """See `Codec`. A view."""
        return rows.view("<f2")


class ScalarBytes:
    """A token's largest magnitude as float32, and each number as a share of it between -127 and 127."""

    def __init__(self, dim: int) -> None:
        self.row_bytes = SCALE.itemsize + dim

    def encode(self, tokens: Tokens) -> Encoded:
        """See `Codec`."""
        values = np.asarray(tokens, dtype=np.float32)
        scales = np.abs(values).max(axis=1, keepdims=True) / np.float32(LARGEST)
        shares = np.rint(values / np.where(scales > 0, scales, 1)).astype(np.int8)
        return np.concatenate([scales.astype(SCALE).view(np.uint8), shares.view(np.uint8)], axis=1)

    def decode(self, rows: Encoded) -> Decoded:
        """See `Codec`."""
        scales = np.ascontiguousarray(rows[:, : SCALE.itemsize]).view(SCALE)
        return (rows[:, SCALE.itemsize :].view(np.int8) * scales).astype(np.float16)


class ProductCodes:
    """A byte for each four numbers of a token: the nearest of 256 centroids.

    Parameters
    ----------
    codebook
        From `train_codebook`: float32 [ceil(D / 4), at most 256, 4].
    """

    def __init__(self, dim: int, codebook: Codebook) -> None:
        self.dim, self.codebook, self.row_bytes = dim, codebook, -(-dim // WIDTH)
        shape_fits = codebook.ndim == 3 and codebook.shape[0] == self.row_bytes and codebook.shape[2] == WIDTH
        if not shape_fits or not 1 <= codebook.shape[1] <= CODES or codebook.dtype != np.float32:
            raise InputError(f"a codebook {codebook.shape} of {codebook.dtype} is none for width {dim}")

    def encode(self, tokens: Tokens) -> Encoded:
        """See `Codec`."""
        from scipy.cluster.vq import vq

        parts = _parts(tokens)
        codes = np.empty((len(parts), self.row_bytes), np.uint8)
        for part in range(self.row_bytes):
            codes[:, part] = vq(parts[:, part], self.codebook[part], check_finite=False)[0]
        return codes

    def decode(self, rows: Encoded) -> Decoded:
        """See `Codec`."""
        halves = self.codebook.astype(np.float16)
        values = halves[np.arange(self.row_bytes), rows].reshape(len(rows), self.row_bytes * WIDTH)
        return np.ascontiguousarray(values[:, : self.dim])


def train_codebook(tokens: Tokens) -> Codebook:
    """Find the centroids of product quantisation, the same for the same tokens.

    Parameters
    ----------
    tokens
        A sample [N, D] of a collection. Of more than 16,384 tokens, evenly spaced ones are used. Of fewer
        than some thousand, centroids lie near single tokens and the quantisation is poor.

    Returns
    -------
    NDArray
        float32 [ceil(D / 4), C, 4], with C = min(256, N).

    Raises
    ------
    InputError
        If there is none, or a number is not finite.
    """
    from scipy.cluster.vq import kmeans2

    chosen = np.asarray(tokens[:: max(1, -(-len(tokens) // SAMPLE))], dtype=np.float32)
    if chosen.ndim != 2 or not chosen.size or not np.isfinite(chosen).all():
        raise InputError(f"no codebook can be made from tokens of shape {tokens.shape}: none, or not finite")
    parts, rng = _parts(chosen), np.random.default_rng(SEED)
    count = min(CODES, len(chosen))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of clusters without a token: they keep their centroids
        found = [
            kmeans2(parts[:, part], count, iter=ITERATIONS, minit="points", rng=rng)[0]
            for part in range(parts.shape[1])
        ]
    return np.stack(found).astype(np.float32)


def _parts(tokens: Tokens) -> NDArray[np.float32]:
    """Tokens [N, D] as float32 [N, ceil(D / 4), 4], filled up with zeros."""
    values = np.asarray(tokens, dtype=np.float32)
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % WIDTH)))
    return np.ascontiguousarray(padded.reshape(len(values), -1, WIDTH))


def codebook_bytes(codebook: Codebook) -> bytes:
    """Return a codebook as the content of its file, in NumPy's format."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(codebook, dtype="<f4"), allow_pickle=False)
    return buffer.getvalue()


def codebook_from_bytes(content: bytes) -> Codebook:
    """Return the codebook in the content of its file."""
    found: Codebook = np.load(io.BytesIO(content), allow_pickle=False)
    return found


def make_codec(dim: int, storage: Storage, codebook: Codebook | None = None) -> Codec:
    """Return the codec of a store.

    Raises
    ------
    InputError
        If tokens cannot be kept like this.
    """
    if storage == "none":
        return HalfPrecision(dim)
    if storage == "scalar":
        return ScalarBytes(dim)
    if storage == "product" and codebook is not None:
        return ProductCodes(dim, codebook)
    known = "'none', 'scalar', and 'product' with a codebook"
    raise InputError(f"a token store can't keep tokens as '{storage}'; known: {known}")
