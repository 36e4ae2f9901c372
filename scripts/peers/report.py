"""Pairs of runs to a Markdown table of rates and ratios."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from peers.job import Peer

HEAD = """\
| peer | precision | ours, target tokens/s | theirs | ratio (range) | peak memory, ours / theirs | loss, ours / theirs \
| target tokens an update, ours / theirs |
|---|---|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Ratio:
    """Rates are medians over the rounds; the ratio is the median of the pairs' ratios, with the least and the most."""

    ours: float
    theirs: float
    ratio: float
    least: float
    most: float


def compare(pairs: Sequence[Mapping[str, Any]]) -> Ratio:
    ratios = [pair["ours"]["rate"] / pair["theirs"]["rate"] for pair in pairs]
    ours, theirs = (median(pair[side]["rate"] for pair in pairs) for side in ("ours", "theirs"))
    return Ratio(ours, theirs, median(ratios), min(ratios), max(ratios))


def grouped(pairs: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """By peer and precision, in the order in which they came."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for pair in pairs:
        groups.setdefault((pair["peer"], pair["precision"]), []).append(pair)
    return groups


def row(name: str, precision: str, pairs: Sequence[Mapping[str, Any]]) -> str:
    found = compare(pairs)

    def both(what: str, form: str) -> str:
        values = [[pair[side][what] for pair in pairs] for side in ("ours", "theirs")]
        return " / ".join("-" if None in side else format(median(side), form) for side in values)

    return (
        f"| {name} | {precision} | {found.ours:,.0f} | {found.theirs:,.0f} "
        f"| **{found.ratio:.2f}** ({found.least:.2f} to {found.most:.2f}) | {both('peak_gib', '.2f')} GiB "
        f"| {both('loss', '.3f')} | {both('tokens_per_update', ',.0f')} |"
    )


def best_against_best(groups: Mapping[tuple[str, str], list[Mapping[str, Any]]]) -> list[str]:
    """Each side in the precision in which it is fastest; not in pairs, for they ran apart."""
    ours: dict[str, list[float]] = {}
    theirs: dict[str, dict[str, float]] = {}
    for (name, precision), pairs in groups.items():
        ours.setdefault(precision, []).extend(pair["ours"]["rate"] for pair in pairs)
        theirs.setdefault(name, {})[precision] = median(pair["theirs"]["rate"] for pair in pairs)
    if len(ours) < 2:
        return []
    rates = {precision: median(values) for precision, values in ours.items()}
    mine = max(rates, key=lambda precision: rates[precision])
    lines = []
    for name, of_peer in theirs.items():
        fastest = max(of_peer, key=lambda precision: of_peer[precision])
        ratio = rates[mine] / of_peer[fastest]
        lines.append(f"- fastest against fastest: ours in {mine} over {name} in {fastest}: {ratio:.2f}")
    return lines


def report(record: Mapping[str, Any], peers: Mapping[str, Peer]) -> str:
    settings = record["settings"]
    groups = grouped(record["pairs"])
    names = dict.fromkeys(name for name, _ in groups)
    lines = [
        f"{record['processor']}, {record['cores']} cores, {settings['threads']} threads; {settings['model']}, "
        f"{settings['updates']} updates a run, {settings['rounds']} rounds; load average at the start "
        f"{record['load_average_at_start']:.2f}; {record['date']}",
        "",
        HEAD,
        *(row(name, precision, pairs) for (name, precision), pairs in groups.items()),
        "",
        *best_against_best(groups),
        *(f"- {name} {peers[name].version}: {'; '.join(peers[name].differs)}" for name in names),
        *(f"- {name} was passed over: {error}" for name, error in record["errors"].items()),
    ]
    return "\n".join(lines)
