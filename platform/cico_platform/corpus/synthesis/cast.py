"""The cast: signers of both domains, their looks, their manner of signing, and how they are filmed."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cico_platform.corpus.manifest import Split
from cico_platform.corpus.synthesis.movement import Style
from cico_platform.corpus.synthesis.timeline import Tempo

Colour = tuple[int, int, int]
Domain = Literal["dictionary", "target"]


@dataclass(frozen=True)
class Look:
    """Colours (RGB) and proportions of a signer; 1 is the average of a length."""

    skin: Colour
    cloth: Colour
    hair: Colour
    hair_style: int
    collar: int
    pattern: int
    sleeve: float
    head: float
    hand: float
    arm: float
    width: float
    girth: float


@dataclass(frozen=True)
class Scene:
    """Where a signer is filmed: frame size, background, light and the camera's quality."""

    size: tuple[int, int]
    kind: str
    colours: tuple[Colour, Colour, Colour]
    zoom: float
    offset: tuple[float, float]
    tilt: float
    gain: float
    contrast: float
    cast: tuple[float, float, float]
    noise: float
    blur: float
    shutter: float
    shake: float
    quality: int


@dataclass(frozen=True)
class Signer:
    """A person of the cast; `pace` multiplies the lengths of signs, `left` leads with the left hand."""

    name: str
    domain: Domain
    split: Split
    look: Look
    scene: Scene
    style: Style
    pace: float
    left: bool


# Backgrounds of the two domains; half of the studios are plain.
STUDIOS = ("plain", "plain", "gradient", "spotlight")
HOMES = ("shelves", "room", "street", "wallpaper")

_SKINS: dict[Domain, tuple[Colour, ...]] = {
    "dictionary": (
        (245, 208, 176), (232, 184, 146), (214, 160, 120), (190, 134, 96), (160, 108, 76), (128, 84, 60),
    ),
    "target": (
        (250, 220, 200), (224, 170, 136), (203, 146, 110), (172, 118, 82), (141, 92, 62), (108, 70, 50),
        (84, 56, 42),
    ),
}  # fmt: skip
_HAIRS = (
    (38, 30, 28),
    (70, 46, 32),
    (112, 74, 44),
    (164, 116, 62),
    (206, 170, 104),
    (120, 120, 124),
    (150, 70, 40),
)
_SIZES: dict[Domain, tuple[tuple[int, int], ...]] = {
    "dictionary": ((160, 128), (144, 128), (176, 128), (128, 128)),
    "target": ((176, 128), (160, 144), (192, 128), (160, 128)),
}


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    k = (np.array([5.0, 3.0, 1.0]) + hue * 6.0) % 6.0
    rgb = value * (1 - saturation * np.clip(np.minimum(k, 4 - k), 0, 1))
    r, g, b = (255 * rgb).astype(int)
    return int(r), int(g), int(b)


def _brightness(colour: Colour) -> float:
    return 0.30 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def _apart(skin: Colour, least: float, saturation: float, rng: np.random.Generator) -> Colour:
    """A colour against which hands of this skin stand out: its brightness differs by at least so much."""
    while True:
        colour = _hsv(rng.random(), rng.uniform(0.05, saturation), rng.uniform(0.12, 0.95))
        if abs(_brightness(colour) - _brightness(skin)) >= least:
            return colour


def _look(domain: Domain, rng: np.random.Generator) -> Look:
    skins = _SKINS[domain]
    r, g, b = (int(c) for c in np.clip(skins[rng.integers(len(skins))] + rng.normal(0, 4, 3), 30, 255))
    skin = (r, g, b)
    target = domain == "target"
    wide = 1.35 if target else 1.0
    # Signers are asked to wear what their hands stand out against; at home not all do.
    cloth = _apart(skin, 50.0 if target else 70.0, 0.85 if target else 0.7, rng)
    return Look(
        skin=skin,
        cloth=cloth,
        hair=_HAIRS[rng.integers(len(_HAIRS))],
        hair_style=int(rng.integers(5)),
        collar=int(rng.integers(3)),
        pattern=int(rng.integers(4)) if target else 0,
        sleeve=float(rng.choice([0.15, 0.6, 1.0] if target else [0.15, 0.15, 0.6])),
        head=float(np.clip(rng.normal(1.0, 0.07 * wide), 0.82, 1.2)),
        hand=float(np.clip(rng.normal(1.12, 0.08 * wide), 0.9, 1.35)),
        arm=float(np.clip(rng.normal(1.0, 0.06 * wide), 0.85, 1.15)),
        width=float(np.clip(rng.normal(1.0, 0.07 * wide), 0.82, 1.2)),
        girth=float(np.clip(rng.normal(1.0, 0.12), 0.75, 1.3)),
    )


def _scene(domain: Domain, skin: Colour, wide: float, rng: np.random.Generator) -> Scene:
    sizes = _SIZES[domain]
    target = domain == "target"
    least, saturation = (25.0, 0.5) if target else (45.0, 0.4)
    colours = (
        _apart(skin, least, saturation, rng),
        _apart(skin, least, saturation, rng),
        _hsv(rng.random(), rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.9)),
    )
    cast = 1 + rng.normal(0, 0.07 if target else 0.03, 3)
    return Scene(
        size=sizes[rng.integers(len(sizes))],
        kind=HOMES[rng.integers(4)] if target else STUDIOS[rng.integers(4)],
        colours=colours,
        zoom=float(rng.uniform(0.80 - 0.08 * wide * target, 1.0 + 0.04 * wide * target)),
        offset=(
            float(rng.normal(0, 0.10 + 0.08 * target * wide)),
            float(rng.normal(0, 0.03 + 0.04 * target * wide)),
        ),
        tilt=float(rng.normal(0, 1.0 + 2.0 * target * wide)),
        gain=float(rng.uniform(0.84, 1.12) if target else rng.uniform(0.88, 1.12)),
        contrast=float(rng.uniform(0.84, 1.08) if target else rng.uniform(0.88, 1.10)),
        cast=(float(cast[0]), float(cast[1]), float(cast[2])),
        noise=float(rng.uniform(1.0, 4.5) if target else rng.uniform(0.0, 3.0)),
        blur=float(rng.uniform(0.0, 0.75) if target else rng.uniform(0.0, 0.6)),
        shutter=float(rng.uniform(0.15, 0.5) if target else rng.uniform(0.0, 0.3)),
        shake=float(rng.uniform(0.0, 0.9)) if target and rng.random() < 0.5 else 0.0,
        quality=int(rng.integers(26, 34) if target else rng.integers(20, 28)),
    )


def signer(name: str, domain: Domain, split: Split, rng: np.random.Generator) -> Signer:
    """Draw a signer by lot; test signers come from a wider range of framings and paces than training ones."""
    target = domain == "target"
    wide = 1.0 if split == "train" else 1.4
    spread = 1.35 if target else 1.0
    style = Style(
        reach=float(rng.uniform(0.82, 1.08) if target else rng.uniform(0.88, 1.18)),
        shift=(float(rng.normal(0, 0.05 * spread)), float(rng.normal(0, 0.05 * spread))),
        turn=float(rng.normal(0, 6 * spread)),
        facing=float(rng.normal(0, 8 * spread)),
        lax=float(rng.uniform(0.02, 0.12) if target else rng.uniform(0.0, 0.10)),
        drop=float(rng.uniform(0.0, 0.10) if target else rng.uniform(0.0, 0.05)),
    )
    look = _look(domain, rng)
    return Signer(
        name=name,
        domain=domain,
        split=split,
        look=look,
        scene=_scene(domain, look.skin, wide, rng),
        style=style,
        pace=float(np.clip(rng.normal(1.0, 0.09 * wide), 0.75, 1.3)),
        left=bool(rng.random() < (0.15 if target else 0.10)),
    )


def tempo(who: Signer, rng: np.random.Generator) -> Tempo:
    """How fast one clip of a signer goes: alone a sign takes its time, in a sentence it hurries."""
    alone = who.domain == "dictionary"
    pace = who.pace * float(np.clip(rng.normal(1, 0.14 if alone else 0.06), 0.7, 1.3))
    if alone:
        return Tempo(stroke=9.7 * pace, transition=0, spread=0.12, lead=4.5, blend=0.5, linger=0.0, ready=0.6)
    return Tempo(
        stroke=8.4 * pace, transition=3.7 * pace, spread=0.14, lead=3.5, blend=0.6, linger=0.8, ready=0.0
    )
