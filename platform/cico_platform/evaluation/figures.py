"""Figures of the report: drawings, and the similarity matrix as a picture; none needs colour vision."""

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

# Cividis (Nuñez et al., PLOS ONE 2018), at even steps: as light as it is far, with or without colour vision.
CIVIDIS = (
    "00224e", "123570", "3b496c", "575d6d", "707173", "8a8678", "a59c74", "c3b369", "e1cc55", "fee838",
)  # fmt: skip
PICTURE_SIDE = 512
INK = {"t2v": "#146c5f", "v2t": "#b4551a"}
TITLES = {"t2v": "text to video", "v2t": "video to text"}
# Sizes of the histogram, in its own pixels.
WIDTH, LEFT, RIGHT, TOP, BAR, STEP = 440, 92, 92, 30, 12, 34


@dataclass(frozen=True)
class SimilarityPicture:
    """The matrix as a PNG in a data URI, its sides in pixels, the scores at the ends of the colours."""

    uri: str
    width: int
    height: int
    low: float
    high: float
    right_mean: float
    other_mean: float | None


def similarity_picture(scores: NDArray[Any], owners: NDArray[np.int64]) -> SimilarityPicture:
    """Videos (down) by texts (right), ordered so that the right answers lie on the diagonal.

    A large matrix is made smaller by the mean of blocks.
    """
    videos, texts = scores.shape
    small = block_means(scores, np.argsort(owners, kind="stable"), min(videos, PICTURE_SIDE))
    low, high = (float(v) for v in np.percentile(small, [0.5, 100]))
    levels = (255 * ((small - low) / max(high - low, 1e-12)).clip(0, 1)).round().astype(np.uint8)
    image = Image.fromarray(levels)
    image.putpalette(cividis().tobytes())
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    right = scores[np.arange(videos), owners].sum(dtype=np.float64)
    others = videos * texts - videos
    return SimilarityPicture(
        uri=f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}",
        width=image.width,
        height=image.height,
        low=low,
        high=high,
        right_mean=float(right / videos),
        other_mean=float((scores.sum(dtype=np.float64) - right) / others) if others else None,
    )


def block_means(scores: NDArray[Any], order: NDArray[np.int64], height: int) -> NDArray[np.float64]:
    """The mean of each block of a matrix whose rows are taken in an order: [height, at most PICTURE_SIDE]."""
    rows = np.linspace(0, scores.shape[0], height + 1).astype(int)
    columns = np.linspace(0, scores.shape[1], min(scores.shape[1], PICTURE_SIDE) + 1).astype(int)
    small = np.empty((height, len(columns) - 1))
    for row in range(height):
        band = scores[order[rows[row] : rows[row + 1]]].mean(axis=0, dtype=np.float64)
        small[row] = np.add.reduceat(band, columns[:-1]) / np.diff(columns)
    return small


def cividis() -> NDArray[np.uint8]:
    """256 colours, uint8 [256, 3], from dark to light."""
    anchors = np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in CIVIDIS], dtype=np.float64)
    places = np.linspace(0, len(anchors) - 1, 256)
    channels = [np.interp(places, np.arange(len(anchors)), anchors[:, i]) for i in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def colour_bar() -> Markup:
    """The colours of the picture, low to high."""
    stops = Markup("").join(
        Markup('<stop offset="{}" stop-color="#{}"/>').format(f"{i / (len(CIVIDIS) - 1):.3f}", colour)
        for i, colour in enumerate(CIVIDIS)
    )
    return Markup(
        '<svg class="colours" viewBox="0 0 256 10" preserveAspectRatio="none" aria-hidden="true">'
        '<linearGradient id="cividis">{}</linearGradient>'
        '<rect width="256" height="10" fill="url(#cividis)"/></svg>'
    ).format(stops)


def rank_histogram(ranks: dict[str, dict[str, Any]]) -> Markup:
    """Bars of the share of queries in each step of ranks: text to video filled, video to text hatched."""
    steps = {way: {(s["from"], s["to"]): s for s in found["steps"]} for way, found in ranks.items()}
    labels = sorted({key for found in steps.values() for key in found})
    top = max(100 * s["count"] / found["queries"] for found in ranks.values() for s in found["steps"])
    scale = (WIDTH - LEFT - RIGHT) / max(top, 1e-9)
    height = TOP + STEP * len(labels) + 8
    parts = [_legend()]
    for number, (first, last) in enumerate(labels):
        y = TOP + STEP * number
        name = f"{first:,}" if first == last else f"{first:,}–{last:,}"
        parts.append(_text(LEFT - 8, y + BAR + 4, name, "end"))
        for row, way in enumerate(steps):
            if (first, last) not in steps[way]:
                continue
            count = steps[way][first, last]["count"]
            share = 100 * count / ranks[way]["queries"]
            parts.append(_bar(LEFT, y + row * (BAR + 1), share * scale, way))
            told = f"{share:.1f}% ({count:,})"
            parts.append(_text(LEFT + share * scale + 5, y + row * (BAR + 1) + BAR - 2, told, "start", 11))
    parts.append(
        Markup('<path class="axis" stroke="#5b6863" d="M{0} {1}V{2}"/>').format(LEFT, TOP - 4, height - 6)
    )
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" role="img" aria-labelledby="ranks-title"'
        ' font-family="system-ui, sans-serif"><title id="ranks-title">Share of queries by the rank of the'
        " right answer; the table below has the numbers</title><defs>{}</defs>{}</svg>"
    ).format(WIDTH, height, _hatching(), Markup("").join(parts))


def interval_plot(value: float, interval: list[float], way: str, whole: float) -> Markup:
    """A share of 0 to 100 with its interval, beside a dashed line at that of the whole split."""
    low, high = interval
    x = [2 + 1.56 * v for v in (low, value, high, whole)]
    mark = (
        Markup('<circle class="{}" fill="{}" cx="{:.1f}" cy="11" r="5"/>')
        if way == "t2v"
        else Markup('<rect class="{}" fill="{}" x="{:.1f}" y="6.5" width="9" height="9"/>')
    ).format(way, INK[way], x[1] if way == "t2v" else x[1] - 4.5)
    return Markup(
        '<svg class="interval" viewBox="-4 0 168 22" aria-hidden="true"><path class="rule" stroke="#c9c6bb"'
        ' d="M2 18H158M2 15v3M80 15v3M158 15v3"/><path class="axis" stroke="#5b6863" stroke-dasharray="2 2"'
        ' d="M{:.1f} 2V18"/><path class="axis" stroke="#5b6863" stroke-width="2" d="M{:.1f} 11H{:.1f}"/>{}'
        "</svg>"
    ).format(x[3], x[0], x[2], mark)


def _legend() -> Markup:
    parts, x = [], LEFT
    for way, title in TITLES.items():
        parts += [_bar(x, 4, 18, way), _text(x + 24, 4 + BAR - 2, title, "start")]
        x += 130
    return Markup("").join(parts)


def _bar(x: float, y: float, width: float, way: str) -> Markup:
    fill = INK[way] if way == "t2v" else "url(#hatch)"
    return Markup(
        '<rect class="bar {0}" x="{1:.1f}" y="{2:.1f}" width="{3:.1f}" height="{4}" fill="{5}" stroke="{6}"/>'
    ).format(way, x, y, max(width, 0.5), BAR, fill, INK[way])


def _hatching() -> Markup:
    return Markup(
        '<pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse"'
        ' patternTransform="rotate(45)">'
        '<rect class="hatch-ground" width="5" height="5" fill="#fff"/>'
        '<rect class="v2t" width="2.2" height="5" fill="{}"/></pattern>'
    ).format(INK["v2t"])


def _text(x: float, y: float, text: str, anchor: str, size: int = 12) -> Markup:
    return Markup(
        '<text x="{:.1f}" y="{:.1f}" font-size="{}" text-anchor="{}" fill="#1c2421">{}</text>'
    ).format(x, y, size, anchor, text)
