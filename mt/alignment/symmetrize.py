"""Symmetrization: one set of word links from those of two directions (Och & Ney 2003; Koehn et al. 2003).

A link is (source word, target word), counted from 0, also in `backward`, the links of the reverse model.
"""

import operator
from collections.abc import Callable
from functools import partial

from mt.text.words import Links

NEIGHBOURS = [(-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)]


def grow_diag(forward: Links, backward: Links) -> Links:
    """Start from the intersection, and add links of the union that neighbour a link, diagonally too, and have an
    unlinked word.

    Links are visited in order; added links are visited in the next round, until nothing is added.
    """
    everywhere = forward | backward
    links = forward & backward
    sources, targets = {i for i, _ in links}, {j for _, j in links}
    grown = True
    while grown:
        grown = False
        for i, j in sorted(links):
            for di, dj in NEIGHBOURS:
                near = i + di, j + dj
                if near in everywhere and near not in links and (near[0] not in sources or near[1] not in targets):
                    links.add(near)
                    sources.add(near[0])
                    targets.add(near[1])
                    grown = True
    return links


def grow_diag_final(forward: Links, backward: Links, *, both: bool) -> Links:
    """`grow_diag`, then every link of either direction with a word that is still unlinked; `both`: with two."""
    links = grow_diag(forward, backward)
    sources, targets = {i for i, _ in links}, {j for _, j in links}
    for i, j in [*sorted(forward), *sorted(backward)]:
        unlinked = (i not in sources, j not in targets)
        if all(unlinked) if both else any(unlinked):
            links.add((i, j))
            sources.add(i)
            targets.add(j)
    return links


HEURISTICS: dict[str, Callable[[Links, Links], Links]] = {
    "intersection": operator.and_,
    "union": operator.or_,
    "grow-diag": grow_diag,
    "grow-diag-final": partial(grow_diag_final, both=False),
    "grow-diag-final-and": partial(grow_diag_final, both=True),
}
