"""Clips that have changed since something was computed from them: a name must not join old and new."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cico_platform.corpus.manifest import Corpus
from cico_platform.corpus.manifest_rows import manifest_rows
from cico_platform.errors import InputError
from cico_platform.pipelines.clip_table import keys_of_rows
from cico_platform.pipelines.ledgers import read_folder_ledger
from cico_platform.storage import Place, absolute, place

NAMED = 3
# Files of up to so many clips whose keys differ are opened by threads of this process.
LOOKED_AT_HERE = 256


def check_unchanged(corpus: str | Place, output: str | Place, verb: str) -> None:
    """Refuse what was computed from clips that have another file, other times or another box by now.

    No file is opened unless the manifest has another key than the output. Clips without a key on one side,
    and those that only one side has, are passed over.

    Parameters
    ----------
    output
        A finished folder with a ledger (`clips.parquet`); one without is passed over.
    verb
        What makes it anew.

    Raises
    ------
    InputError
        Naming some of these clips.
    """
    ledger = read_folder_ledger(place(output), with_shards=False).done()
    if not len(ledger):
        return
    names = Corpus(corpus).table(["video_id"])["video_id"].combine_chunks()
    held = pc.index_in(names, value_set=ledger["video_id"].combine_chunks())
    rows = np.flatnonzero(np.asarray(held.is_valid()))
    then = ledger["clip_key"].combine_chunks().take(held.drop_null())
    told = manifest_rows(corpus, rows, ("clip_key",))["clip_key"]
    doubtful = np.flatnonzero(np.asarray(pc.fill_null(pc.not_equal(told, then), False)))
    if not len(doubtful):
        return
    now = keys_of_rows(absolute(place(corpus)), rows[doubtful], LOOKED_AT_HERE)
    changed = doubtful[np.asarray(pc.not_equal(now, then.take(pa.array(doubtful))))]
    if len(changed):
        some = ", ".join(f"'{names[int(row)]}'" for row in rows[changed[:NAMED]])
        raise InputError(
            f"{len(changed)} clips of '{corpus}' have other files, times or boxes than those that "
            f"'{output}' was made from: {some}{', …' if len(changed) > NAMED else ''}; run '{verb}' again"
        )
