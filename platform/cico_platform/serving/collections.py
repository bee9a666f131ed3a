"""What an index holds besides the live collection: those that are kept to go back to."""

from cico_model.calibration import Calibration
from cico_platform.errors import CicoError
from cico_platform.index.base import VectorIndex
from cico_platform.index.serving_info import ServingInfo, known_collections
from cico_platform.serving.schemas import Collection, Threshold


def list_collections(index: VectorIndex, live: str) -> list[Collection]:
    """The collections of an index that are still there, the live one first, then by name."""
    found = []
    for info in known_collections(index).values():
        if info.recipe and not info.content:  # is being written
            continue
        try:
            # Where it is noted, it need not be opened, which others may not allow.
            clips = info.clips or index.count(info.collection)
        except CicoError:  # its models are known, but it was deleted
            continue
        found.append(_described(info, clips, info.collection == live))
    return sorted(found, key=lambda one: (not one.live, one.name))


def _described(info: ServingInfo, clips: int, live: bool) -> Collection:
    return Collection(
        name=info.collection,
        live=live,
        corpus=info.corpus,
        clips=clips,
        model=info.model_name,
        dim=info.dim,
        encoders=len(info.encoders),
        thresholds={way: _threshold(one) for way, one in info.calibrations.items()},
    )


def _threshold(known: Calibration) -> Threshold:
    return Threshold(
        probability=round(known.threshold, 4),
        precision=round(known.precision, 4),
        recall=round(known.recall, 4),
        queries=known.queries,
    )
