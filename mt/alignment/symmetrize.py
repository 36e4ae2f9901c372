"""Symmetrization: one set of word links from those of two directions (Och & Ney 2003; Koehn et al. 2003).

A link is (source word, target word), counted from 0, also in `backward`, the links of the reverse model.
"""

import operator
from collections.abc import Callable

from mt.text.words import Links

SIDES = [(-1, 0), (0, -1), (1, 0), (0, 1)]
NEIGHBOURS = [*SIDES, (-1, -1), (-1, 1), (1, -1), (1, 1)]


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


def _final(links: Links, more: Links, *, both: bool) -> Links:
    """Add links of `more` with an unlinked word; `both`: with two."""
    links = set(links)
    sources, targets = {i for i, _ in links}, {j for _, j in links}
    for i, j in sorted(more):
        unlinked = (i not in sources, j not in targets)
        if all(unlinked) if both else any(unlinked):
            links.add((i, j))
            sources.add(i)
            targets.add(j)
    return links


def grow_diag_final(forward: Links, backward: Links) -> Links:
    """`grow_diag`, then every link of either direction with a word that is still unlinked."""
    return _final(_final(grow_diag(forward, backward), forward, both=False), backward, both=False)


def grow_diag_final_and(forward: Links, backward: Links) -> Links:
    """`grow_diag`, then every link of either direction with two words that are still unlinked."""
    return _final(_final(grow_diag(forward, backward), forward, both=True), backward, both=True)


HEURISTICS: dict[str, Callable[[Links, Links], Links]] = {
    "intersection": operator.and_,
    "union": operator.or_,
    "grow-diag": grow_diag,
    "grow-diag-final": grow_diag_final,
    "grow-diag-final-and": grow_diag_final_and,
}
