"""The codec of a store, its codebook read from beside the manifest."""

import hashlib

import numpy as np

from cico_platform.errors import InputError
from cico_platform.index.clips import Tokens
from cico_platform.index.token_store.codecs import (
    Codec,
    codebook_bytes,
    codebook_from_bytes,
    make_codec,
    train_codebook,
)
from cico_platform.index.token_store.errors import DamagedFileError
from cico_platform.index.token_store.files import SHOWN, put, read_bytes, said_plainly
from cico_platform.index.token_store.records import Layout, Storage, StoredFile
from cico_platform.storage import Place


def make_layout(place: Place, dim: int, storage: Storage, sample: Tokens | None) -> Layout:
    """Return the layout of a new store, after its codebook was made from a sample of tokens and written.

    Raises
    ------
    InputError
        If product quantisation has no sample, or the settings can't be used.
    """
    if storage != "product":
        make_codec(dim, storage)
        return Layout(dim=dim, storage=storage)
    if sample is None or sample.ndim != 2 or sample.shape[1] != dim:
        raise InputError(f"product quantisation needs a sample of tokens of width {dim}")
    content = codebook_bytes(train_codebook(np.asarray(sample)))
    digest = hashlib.sha256(content).hexdigest()
    file = StoredFile(name=f"codebook-{digest[:SHOWN]}.npy", bytes=len(content), sha256=digest)
    with said_plainly(place, "a token store cannot be written to"):
        place.mkdir(parents=True, exist_ok=True)
        put(place / file.name, content)
    return Layout(dim=dim, storage=storage, codebook=file)


def load_codec(place: Place, layout: Layout) -> Codec:
    """Return the codec of a store.

    Raises
    ------
    DamagedFileError
        If its codebook is not what was written.
    """
    if layout.codebook is None:
        return make_codec(layout.dim, layout.storage)
    path = place / layout.codebook.name
    with said_plainly(place, "a token store cannot be read from"):
        try:
            content = read_bytes(path)
        except FileNotFoundError as error:
            raise DamagedFileError(f"'{path}' is missing") from error
    if hashlib.sha256(content).hexdigest() != layout.codebook.sha256:
        raise DamagedFileError(f"'{path}' is damaged: its checksum is not that of what was written")
    return make_codec(layout.dim, layout.storage, codebook_from_bytes(content))
