"""The published weights in a download: the sign encoder, and CLIP."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from cico_model.clip_import import is_clip
from cico_model.weights import read_weights
from cico_platform.errors import InputError
from cico_platform.reproduce.recipes import WEIGHTS
from cico_platform.reproduce.sources import Missing
from cico_platform.storage import Place, on_this_machine
from cico_platform.training.import_weights import SIGN_ENCODER_KEY

Kind = Literal["sign_encoder", "clip"]
# The published names; under others, the files are opened.
NAMES: Mapping[Kind, tuple[str, ...]] = {
    "sign_encoder": ("bsl5k.pth.tar",),
    "clip": ("ViT-B-32.pt",),
}
SUFFIXES = (".pt", ".pth", ".tar", ".bin", ".safetensors")


@dataclass(frozen=True)
class Weights:
    """The two files of weights; None where one is missing."""

    sign_encoder: Path | None
    clip: Path | None

    @property
    def missing(self) -> list[Missing]:
        """What is not there."""
        files = zip((self.sign_encoder, self.clip), WEIGHTS, strict=True)
        return [Missing(where.name, where.where) for file, where in files if file is None]


def find_weights(folder: str | Place) -> Weights:
    """Find the published weights in a folder or a folder of it, by their names or by what they hold.

    Raises
    ------
    InputError
        If it holds several files of a kind.
    """
    root = on_this_machine(folder)
    files = sorted(
        path
        for path in (*root.glob("*"), *root.glob("*/*"))
        if path.is_file() and path.suffix in SUFFIXES and not path.name.startswith(".")
    )
    named = {kind: [file for file in files if file.name in NAMES[kind]] for kind in NAMES}
    known = {file for found in named.values() for file in found}
    if not all(named.values()):
        for file in files:
            kind = None if file in known else weights_kind(file)
            if kind is not None and not any(file.name in NAMES[kind] for file in named[kind]):
                named[kind].append(file)
    return Weights(_only(named["sign_encoder"], "sign_encoder"), _only(named["clip"], "clip"))


def weights_kind(file: Path) -> Kind | None:
    """Whether a file holds a sign encoder or CLIP; None for anything else, which may be other files."""
    try:
        weights: Mapping[str, Tensor] = read_weights(file)
    except (ValueError, FileNotFoundError):
        return None
    if SIGN_ENCODER_KEY in weights:
        return "sign_encoder"
    return "clip" if is_clip(weights) else None


def _only(files: list[Path], kind: Kind) -> Path | None:
    if len(files) > 1:
        names = ", ".join(f"'{file}'" for file in files)
        what = "sign encoders" if kind == "sign_encoder" else "CLIPs"
        raise InputError(
            f"--weights holds several {what}: {names}; keep one, or name it {NAMES[kind][0]} as published"
        )
    return files[0] if files else None
