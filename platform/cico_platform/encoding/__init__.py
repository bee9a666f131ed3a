"""The one way from a video or a text to sign features and tokens.

`video file -> framing (corpus.framing) -> frames -> windows -> sign features of each encoder -> alpha mix ->
windows that the model reads -> tokens`. Pipelines run parts of it on many workers, queries and moment
retrieval run all of it at once; each part is written here and nowhere else.
"""
