"""The report for people: one HTML file that asks nothing of any other machine, beside the clips it plays."""

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Any

import jinja2
from markupsafe import Markup
from numpy.typing import NDArray

from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.evaluation.clip_views import clip_viewer
from cico_platform.evaluation.figures import (
    TITLES,
    colour_bar,
    interval_plot,
    rank_histogram,
    similarity_picture,
)
from cico_platform.storage import Place
from cico_platform.training.pairs import Pairs

METRICS = ("R@1", "R@5", "R@10", "MedR", "MeanR")
WAYS = ("t2v", "v2t")
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
MINUS = "\N{MINUS SIGN}"


def render_report(
    report: dict[str, Any],
    scores: NDArray[Any],
    pairs: Pairs,
    clips: Sequence[Clip],
    corpus: Corpus,
    page_folder: Place,
    facts: dict[str, Any],
) -> str:
    """The page.

    Parameters
    ----------
    report
        What `report.json` holds.
    scores
        [videos, texts], for the picture.
    clips
        The manifest's rows of the videos.
    page_folder
        Where the page will lie: it plays clips by their path from there.
    facts
        `features`, `model` (names), `alpha`, `resamples`, `seed`.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cico_platform.evaluation", "page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(figure=figure, score=score, percent=percent, language=language)
    style, script = (_own(environment, name) for name in ("report.css", "report.js"))
    by_id = {clip.video_id: clip for clip in clips}
    return environment.get_template("report.html.j2").render(
        report=report,
        facts={"corpus": corpus.info().get("name") or corpus.path.name, **facts},
        ways=WAYS,
        titles=TITLES,
        metrics=METRICS,
        style=style,
        script=script,
        policy=policy(style, script),
        picture=similarity_picture(scores, pairs.text_of_video),
        colours=colour_bar(),
        histogram=rank_histogram(report["ranks"]),
        interval_plot=interval_plot,
        view=clip_viewer(corpus, page_folder),
        clips=by_id,
        written={clip.text: clip for clip in reversed(clips)},
        latex=as_latex(report),
        csv=as_csv(report),
    )


def policy(style: str, script: str) -> str:
    """The page's content security policy: its own style and script, pictures within, clips beside it."""
    return (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src data:; "
        "media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


def figure(name: str, value: float) -> str:
    """A metric as it is printed: shares and means with one decimal, a median without needless zeros.

    >>> figure("R@1", 56.62), figure("MedR", 3.0), figure("MedR", 2.5)
    ('56.6', '3', '2.5')
    """
    told = f"{value:.1f}"
    return told.removesuffix(".0") if name == "MedR" else told


def score(value: float) -> str:
    """A score or a margin, with a true minus.

    >>> score(-0.0312)
    '−0.031'
    """
    return f"{round(value, 3) + 0.0:.3f}".replace("-", MINUS)


def percent(value: float) -> str:
    """A share of 0 to 1.

    >>> percent(0.125)
    '12.5%'
    """
    return f"{100 * value:.1f}%"


def language(clip: Clip | None) -> str | None:
    """The language of a clip's text, where it is one that browsers know how to read."""
    known = clip.language if clip is not None else None
    return known if known and LANGUAGE.fullmatch(known) else None


def as_csv(report: dict[str, Any]) -> str:
    """The main table with intervals, comma-separated."""
    lines = ["direction,metric,value,low,high"]
    for way in WAYS:
        for name, value, (low, high) in main_row(report, way):
            lines.append(f"{way},{name},{value},{low},{high}")
    return "\n".join(lines) + "\n"


def as_latex(report: dict[str, Any]) -> str:
    """The main table for a paper that uses booktabs; intervals beneath the values."""
    names = [name for name, _, _ in main_row(report, WAYS[0])]
    head = " & ".join(names)
    lines = [r"\begin{tabular}{l" + "r" * len(names) + "}", r"\toprule", rf" & {head} \\", r"\midrule"]
    for way in WAYS:
        row = main_row(report, way)
        values = " & ".join(figure(name, value) for name, value, _ in row)
        intervals = " & ".join(
            r"{\scriptsize [" + "--".join(figure(name, v) for v in interval) + "]}"
            for name, _, interval in row
        )
        lines += [rf"{TITLES[way].capitalize()} & {values} \\", rf" & {intervals} \\"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def main_row(report: dict[str, Any], way: str) -> list[tuple[str, float, list[float]]]:
    """The metrics of a direction with their intervals; DCG@10 is missing in reports of earlier versions."""
    row = [(name, report[way][name], report["intervals"][way][name]) for name in METRICS]
    if gained := report.get("gains", {}).get(way):
        row.append(("DCG@10", gained["DCG@10"], gained["interval"]))
    return row


def _own(environment: jinja2.Environment, name: str) -> Markup:
    """A file of ours, put into the page as it is."""
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])  # noqa: S704 - no one else's text


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
