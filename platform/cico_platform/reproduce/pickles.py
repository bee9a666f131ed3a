"""CiCo's pickles of sentences: translated texts, original texts and the sentence that each video says."""

from collections.abc import Iterable
from dataclasses import dataclass

from cico_platform.corpus.readers.restricted_pickle import load_data
from cico_platform.storage import Place


@dataclass(frozen=True)
class PickledSentence:
    """What CiCo's pickles say of a video.

    `sentence` is the key of the published protocol, `text` is English, `original` the corpus' own text or "".
    """

    sentence: str
    text: str
    original: str


def read_pickles(paths: Iterable[Place]) -> dict[str, PickledSentence]:
    """The sentences of all pickles, by the name of the video; entries of no such form are passed over.

    Raises
    ------
    InputError
        If a pickle cannot be read.
    """
    sentences: dict[str, PickledSentence] = {}
    for path in paths:
        for key, value in load_data(path).items():
            for entry in value if isinstance(value, list) else [value]:
                if isinstance(entry, dict) and "video_name" in entry and "text" in entry:
                    original = str(entry.get("ori_text") or "")
                    sentences[str(entry["video_name"])] = PickledSentence(
                        str(key), str(entry["text"]), original
                    )
    return sentences
