"""Token store: the tokens of a collection's clips in immutable, memory-mapped segments.

A store is a folder or a URL::

    manifest-00000007.jsonl            names the live segments; the highest number counts
    dead-SHA.u64                       row numbers of forgotten and replaced clips, sorted
    codebook-SHA.npy                   of product quantisation
    segments/NAME-SHA.tokens           encoded tokens, clip after clip
    segments/NAME-SHA.offsets          int64 [rows + 1]: the first token of each row
    segments/NAME-SHA.ids.arrow        hash, row, video_id, clip_key; sorted by hash
    segments/NAME.json                 what a worker has written, until it is committed and after

docs/decisions/0020-token-store.md says why. Workers write segments (`writer.SegmentWriter`), one process
commits them (`changes.add_segments`), readers open the store (`store.TokenStore`).
"""
