"""Published numbers, put beside ours only where the split is theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cico_platform.corpus.manifest import Clip
from cico_platform.training.pairs import Pairs

SOURCE = "Cheng et al., CiCo, CVPR 2023 (arXiv 2303.12793)"
# Who reads the numbers has to know it (method, quirk 6).
CAVEAT = "The published model is that of the epoch which was best on this very test split."


@dataclass(frozen=True)
class Published:
    """What was published on the test split of a corpus, and how that split is recognised.

    Attributes
    ----------
    format
        The reader's name, as `corpus.json` records it.
    sign_language
        Of its clips; it has to be given where CiCo's own pickle, which doesn't name the corpus, was read.
    texts, videos
        Of the test split.
    t2v, v2t
        R@1 in percent.
    """

    corpus: str
    format: str
    sign_language: str
    texts: int
    videos: int
    t2v: float
    v2t: float


KNOWN = (
    Published("How2Sign", "how2sign", "ase", 1969, 2348, 56.6, 51.6),
    Published("PHOENIX-2014T", "phoenix2014t", "gsg", 642, 642, 69.5, 70.2),
    Published("CSL-Daily", "csl-daily", "csl", 798, 1176, 75.3, 74.7),
)


def published(info: dict[str, Any], split: str, pairs: Pairs, clips: Sequence[Clip]) -> dict[str, Any]:
    """The published numbers on this split, or why there are none.

    Parameters
    ----------
    info
        What `corpus.json` says.
    clips
        The manifest's row of each video.

    Returns
    -------
    dict
        `{"rows": [{"source", "corpus", "t2v": {"R@1"}, "v2t": {"R@1"}}], "note"}`.
    """
    known = _corpus(str(info.get("format") or ""), clips)
    if known is None:
        return {"rows": [], "note": "No published numbers are known for this corpus."}
    if split != "test":
        return {"rows": [], "note": f"What was published on {known.corpus} is of its test split."}
    found = (len(pairs.texts), len(pairs))
    if found != (known.texts, known.videos):
        note = (
            f"What was published on {known.corpus} is of {known.texts} texts and {known.videos} videos; "
            f"{found[0]} and {found[1]} were scored here, which is another task."
        )
        return {"rows": [], "note": note}
    row = {
        "source": SOURCE,
        "corpus": known.corpus,
        "t2v": {"R@1": known.t2v},
        "v2t": {"R@1": known.v2t},
    }
    return {"rows": [row], "note": CAVEAT}


def _corpus(reader: str, clips: Sequence[Clip]) -> Published | None:
    languages = {clip.sign_language for clip in clips}
    for known in KNOWN:
        if reader in (known.format, "cico") and languages == {known.sign_language}:
            return known
    return None
