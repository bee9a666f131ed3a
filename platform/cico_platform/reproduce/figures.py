"""Published figures of sign language retrieval, each with its sources; only figures found in two places."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cico_platform.evaluation.published import KNOWN
from cico_platform.reproduce.recipes import RecipeName

DIRECTIONS = ("t2v", "v2t")


@dataclass(frozen=True)
class PublishedMethod:
    """A published method and its R@1 in percent, by corpus and direction; others are not known to us twice.

    Attributes
    ----------
    name, paper
        As tables call it, and where it was published.
    checked_in
        The two places in which each figure was found.
    r1
        By corpus and direction ("t2v", "v2t").
    left_out
        Why figures are missing; "" where none is.
    """

    name: str
    paper: str
    checked_in: str = ""
    r1: Mapping[RecipeName, Mapping[str, float]] = field(default_factory=dict)
    left_out: str = ""


def _cico() -> dict[RecipeName, dict[str, float]]:
    by_format = {known.format: {"t2v": known.t2v, "v2t": known.v2t} for known in KNOWN}
    names: tuple[RecipeName, ...] = ("how2sign", "phoenix2014t", "csl-daily")
    return {name: by_format[name] for name in names}


METHODS: tuple[PublishedMethod, ...] = (
    PublishedMethod(
        "CiCo",
        "Cheng et al., CVPR 2023 (arXiv 2303.12793)",
        "the paper and the table 'Performance' of github.com/FangyunWei/SLRT, CiCo/README.md",
        _cico(),
    ),
    PublishedMethod(
        "UPRet",
        "Wu et al., ECCV 2024 (arXiv 2405.19689)",
        "the paper's abstract and the table 'Performance' of github.com/xua222/UPRet, README.md",
        {"how2sign": {"t2v": 59.1}, "phoenix2014t": {"t2v": 72.0}, "csl-daily": {"t2v": 78.4}},
        "its V2T figures were found in one place only",
    ),
    PublishedMethod(
        "SEDS",
        "Jiang et al., ACM MM 2024 (arXiv 2407.16394)",
        left_out="its figures were not found in two places",
    ),
    PublishedMethod(
        "C2RL",
        "Chen et al., 2024 (arXiv 2408.09949)",
        left_out="its abstract tells gains alone; its figures were not found in two places",
    ),
)
