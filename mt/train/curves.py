"""The curves and scores of several runs as one HTML page, which needs no network and runs no script."""

import base64
import hashlib
import logging
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from mt.errors import DataError
from mt.log import read_metrics
from mt.train.overview import Overview, comparison
from mt.train.seeds import OVER_SEEDS, over_seeds, seed_table

logger = logging.getLogger("mt")
PLOTS = (  # title, kind of line in metrics.jsonl, its value, what the axis shows
    ("Training loss", "train", "loss", "nats per target token, with label smoothing"),
    ("Dev loss", "dev", "loss", "nats per target token"),
    ("Dev loss per character", "dev", "bits_per_char", "bits per character: comparable between tokenizers"),
    ("Dev BLEU", "dev", "bleu", "BLEU"),
    ("Dev chrF++", "dev", "chrf", "chrF++"),
)
# Okabe and Ito's colours, which people with any kind of colour vision can tell apart; later runs are dashed, too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("none", "6 3", "2 3", "10 3 2 3")
MOST_POINTS = 200  # of a curve; more are averaged
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 300, 56, 12, 10, 40
STYLE = """\
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; }
body { max-width: 1180px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.1em; margin: 0 0 .3em; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 1.5em; }
svg { width: 100%; height: auto; } svg text { fill: currentColor; font-size: 12px; }
.grid { stroke: currentColor; opacity: .15; }
.curve { fill: none; stroke-width: 2; }
.legend span { margin-right: 1.5em; white-space: nowrap; } .legend svg { width: 34px; height: 10px; }
.table { overflow-x: auto; } table { border-collapse: collapse; margin-top: 1.5em; }
th, td { text-align: left; padding: .25em .9em .25em 0; border-bottom: 1px solid #8884; vertical-align: top; }
td { overflow-wrap: anywhere; min-width: 9em; }
"""

Curve = list[tuple[float, float]]  # step and value of one run


def page(runs: Sequence[Overview]) -> str:
    """The HTML of the file. Raises: DataError: when no run has numbers to show."""
    metrics = [_read(run.folder) for run in runs]
    plots = []
    for title, kind, value, unit in PLOTS:
        curves = [thinned(points(rows, kind, value)) for rows in metrics]
        if any(curves):
            names = [run.folder.name for run in runs]
            plots.append(f"<section><h2>{title}</h2>{plot(curves, names, unit)}</section>")
    if not plots:
        raise DataError(f"{runs[0].folder} has no numbers to draw yet.", hint="wait for its first updates.")
    legend = "".join(
        f'<span><svg viewBox="0 0 34 10"><line x1="0" y1="5" x2="34" y2="5" {_stroke(number)} class="curve"/></svg> '
        f"{escape(run.folder.name)}</span>"
        for number, run in enumerate(runs)
    )
    seeds = over_seeds(runs)
    seeds_shown = f"<h2>{escape(OVER_SEEDS.capitalize())}</h2>\n{_table(seed_table(seeds))}" if seeds else ""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width"><title>mt: {len(runs)} runs</title>\n'
        f"<style>{STYLE}</style></head><body>\n<h1>Runs compared</h1>\n"
        f'<p class="legend">{legend}</p>\n<div class="plots">{"".join(plots)}</div>\n'
        f"{_table(comparison(runs))}{seeds_shown}</body></html>\n"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    """As HTML. Args: rows: the first one and the first cell of each are headings."""
    header, *others = ([escape(cell) for cell in row] for row in rows)
    lines = [f"<tr>{''.join(f'<th>{cell}</th>' for cell in header)}</tr>"]
    lines += [f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>" for row in others]
    return f'<div class="table"><table>{"".join(lines)}</table></div>\n'


def _read(folder: Path) -> list[dict[str, object]]:
    """The metrics of a run; none, with a warning, where they cannot be read."""
    try:
        return read_metrics(folder / "metrics.jsonl")
    except DataError as error:
        logger.warning(f"{error}")
        return []


def points(rows: Sequence[dict[str, object]], kind: str, name: str) -> Curve:
    """Step and value of each row of a kind that has the value."""
    found = [(row.get("step"), row.get(name)) for row in rows if row.get("kind") == kind]
    return [(float(x), float(y)) for x, y in found if isinstance(x, int) and isinstance(y, int | float)]


def thinned(points: Curve) -> Curve:
    """At most `MOST_POINTS` points: means of neighbours."""
    size = max(1, math.ceil(len(points) / MOST_POINTS))
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


def plot(curves: Sequence[Curve], names: Sequence[str], unit: str) -> str:
    """One SVG, with axes. A curve of one point is a dot. Args: curves: of each run; names: of the runs."""
    xs = [x for curve in curves for x, _ in curve]
    ys = [y for curve in curves for _, y in curve]
    x_ticks, y_ticks = ticks(0, max(xs)), ticks(min(ys), max(ys))
    x_end, y_start, y_end = max(*xs, x_ticks[-1]), y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = x / x_end if x_end else 0.0
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - (y - y_start) / (y_end - y_start) * (
            HEIGHT - TOP - BOTTOM
        )

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    for tick in y_ticks:
        y = place(0, tick)[1]
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:,.10g}</text>')
    for tick in x_ticks:
        x = place(tick, 0)[0]
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:,.10g}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">updates</text>')
    parts.append(f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">{escape(unit)}</text>')
    for run, curve in enumerate(curves):
        placed = [place(x, y) for x, y in curve]
        title = f"<title>{escape(names[run])}</title>"
        if len(placed) == 1:
            (x, y), colour = placed[0], COLOURS[run % len(COLOURS)]
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}">{title}</circle>')
        elif placed:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
            parts.append(f'<polyline class="curve" {_stroke(run)} points="{line}">{title}</polyline>')
    return "".join([*parts, "</svg>"])


def _stroke(run: int) -> str:
    dash = DASHES[run // len(COLOURS) % len(DASHES)]
    return f'stroke="{COLOURS[run % len(COLOURS)]}" stroke-dasharray="{dash}"'


def ticks(least: float, most: float) -> list[float]:
    """Round numbers, evenly spaced, that enclose [least, most]; at least two."""
    span = most - least or abs(most) or 1.0
    step = 10 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 5)
    first, last = math.floor(least / step), math.ceil(most / step)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]
