"""Recipes of the published corpora: what they consist of, and what differs between them (method 4, 8)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cico_platform.corpus.manifest import Split
from cico_platform.errors import InputError

RecipeName = Literal["how2sign", "phoenix2014t", "csl-daily"]
Texts = Literal["translated", "original"]


@dataclass(frozen=True)
class SplitSize:
    """Size of a published split.

    Attributes
    ----------
    clips, frames
        Of all its videos.
    selected
        Windows that retrieval uses, at most 64 a video (method 2); 0 where that is not published.
    """

    clips: int
    frames: int
    selected: int = 0


@dataclass(frozen=True)
class Download:
    """Something that a recipe needs: its name, as people know it, and where it is published."""

    name: str
    where: str


@dataclass(frozen=True)
class Recipe:
    """A corpus of the paper.

    Attributes
    ----------
    name, title
        On the command line, and in tables.
    format, language, sign_language
        The reader of its tables, and the languages of its own texts and videos.
    alpha
        Share of the domain-agnostic encoder's features (method 4).
    texts
        Whether the paper used the corpus' own texts or CiCo's machine translations into English.
    sentence
        Regular expression whose first group is the sentence within a clip's name. Clips of one sentence are
        one text of the published protocol, and equal texts of two sentences are two.
    boxed
        Whether clips are cut to published boxes of the signers; clips without one are not in the paper's.
    sizes
        Published sizes by split, for estimates of costs.
    downloads
        The corpus' own files; the weights are those of `WEIGHTS`.
    """

    name: RecipeName
    title: str
    format: str
    language: str
    sign_language: str
    alpha: float
    texts: Texts
    sentence: str
    boxed: bool
    sizes: Mapping[Split, SplitSize]
    downloads: tuple[Download, ...]

    def sentence_of(self, clip: str) -> str:
        """The sentence that a clip's name tells.

        >>> RECIPES["how2sign"].sentence_of("G25fic3QxDk_0-10-rgb_front")
        'G25fic3QxDk_0'
        >>> RECIPES["csl-daily"].sentence_of("S000020_P0004_T00")
        'S000020'
        """
        found = re.fullmatch(self.sentence, clip)
        return found[1] if found else clip


CICO = "https://github.com/FangyunWei/SLRT/tree/main/CiCo"
WEIGHTS = (
    Download(
        "bsl5k.pth.tar, the domain-agnostic sign encoder (BSL, 5,383 classes)",
        "https://www.robots.ox.ac.uk/~vgg/research/bslattend/data/bsl5k.pth.tar",
    ),
    Download(
        "ViT-B-32.pt, CLIP (or its model.safetensors of transformers)", "https://github.com/openai/CLIP"
    ),
)

# Frames and windows were counted in CiCo's own lists of clips, which name the frames of each. They lack the
# validation splits of How2Sign and CSL-Daily: their clips are taken to be as long as those of training.
RECIPES: dict[str, Recipe] = {
    "how2sign": Recipe(
        name="how2sign",
        title="How2Sign",
        format="how2sign",
        language="en",
        sign_language="ase",
        alpha=0.8,
        texts="original",
        sentence=r"(.+)-\d+-rgb_\w+(?:-\d+)?",
        boxed=True,
        sizes={
            "train": SplitSize(31_095, 5_452_335, 1_741_322),
            "validation": SplitSize(1_739, 304_900),
            "test": SplitSize(2_348, 411_427),
        },
        downloads=(
            Download(
                "Green Screen RGB videos (frontal view) and 'English Translation (manually re-aligned)', "
                "how2sign_realigned_{train,val,test}.csv",
                "https://how2sign.github.io",
            ),
            Download("bounding_box_coco_{train,test}.pkl, the signers' boxes", f"{CICO}/data_preparation"),
        ),
    ),
    "phoenix2014t": Recipe(
        name="phoenix2014t",
        title="PHOENIX-2014T",
        format="phoenix2014t",
        language="de",
        sign_language="gsg",
        alpha=0.9,
        texts="translated",
        sentence=r"(.+)",
        boxed=False,
        sizes={
            "train": SplitSize(7_096, 827_354, 417_323),
            "validation": SplitSize(519, 55_775),
            "test": SplitSize(642, 64_627, 36_090),
        },
        downloads=(
            Download(
                "phoenix-2014-T.v3, with PHOENIX-2014-T.{train,dev,test}.corpus.csv and the frames",
                "https://www-i6.informatik.rwth-aachen.de/ftp/pub/rwth-phoenix/2016/phoenix-2014-T.v3.tar.gz",
            ),
            Download("data_ph/{train,dev,test}.pkl, the translated texts", f"{CICO}/CLCL/data_ph"),
        ),
    ),
    "csl-daily": Recipe(
        name="csl-daily",
        title="CSL-Daily",
        format="csl-daily",
        language="zh",
        sign_language="csl",
        alpha=0.8,
        texts="translated",
        sentence=r"(S\d+)_.*",
        boxed=False,
        sizes={
            "train": SplitSize(18_401, 2_185_329, 1_110_439),
            "validation": SplitSize(1_077, 127_900),
            "test": SplitSize(1_176, 150_248, 72_820),
        },
        downloads=(
            Download(
                "csl2020ct_v2.pkl, split_1.txt and the frames (sentence_frames-512x512)",
                "http://home.ustc.edu.cn/~zhouh156/dataset/csl-daily/",
            ),
            Download("data_csl/{train,test}.pkl, the translated texts", f"{CICO}/CLCL/data_csl"),
        ),
    ),
}


def find_recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in RECIPES:
        raise InputError(f"there is no recipe '{name}'; known are {', '.join(RECIPES)}")
    return RECIPES[name]
