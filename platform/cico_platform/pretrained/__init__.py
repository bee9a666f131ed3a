"""Checkpoints that are part of the package, trained on drawn signs by `make pretrained`, in half precision.

`agnostic` and `domain_aware` are sign encoders, `retrieval` is a retrieval model of their features. Each
folder is a checkpoint like any other and has a model card.
"""

from pathlib import Path
from typing import Literal

from cico_platform.errors import CicoError

Name = Literal["agnostic", "domain_aware", "retrieval"]
# The first encoder's share in the features that `retrieval` was trained on.
ALPHA = 0.2
# Frames from one window to the next, as `retrieval` was trained.
STRIDE = 2


def checkpoint(name: Name) -> Path:
    """The folder of a shipped checkpoint.

    Raises
    ------
    CicoError
        If the installation lacks it.
    """
    folder = Path(__file__).parent / name
    if not (folder / "config.json").is_file():
        raise CicoError(
            f"the installation lacks the pretrained checkpoint '{name}'; install cico-platform again"
        )
    return folder
