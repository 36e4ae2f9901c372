"""Two sets of word links, one from each direction, made one (Och & Ney 2003; Koehn et al. 2003).

A link is (source word, target word), numbers from 0. `forward` comes from a model that writes the target, `backward`
from one that writes the source, with its pairs turned round: both say (source, target).
"""

from collections.abc import Callable

from mt.text.words import Links

SIDES = [(-1, 0), (0, -1), (1, 0), (0, 1)]
NEIGHBOURS = [*SIDES, (-1, -1), (-1, 1), (1, -1), (1, 1)]


def intersection(forward: Links, backward: Links) -> Links:
    return forward & backward


def union(forward: Links, backward: Links) -> Links:
    return forward | backward


def grow_diag(forward: Links, backward: Links) -> Links:
    """From the intersection into the union, step by step to neighbours, diagonal ones too, of which a word is bare.

    Links are visited in order and what was added is visited in the next round, until nothing is added.
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


def _final(links: Links, more: Links, *, both_bare: bool) -> Links:
    """Add links of `more` whose words, one or `both_bare`, have none yet."""
    links = set(links)
    sources, targets = {i for i, _ in links}, {j for _, j in links}
    for i, j in sorted(more):
        bare = (i not in sources, j not in targets)
        if all(bare) if both_bare else any(bare):
            links.add((i, j))
            sources.add(i)
            targets.add(j)
    return links


def grow_diag_final(forward: Links, backward: Links) -> Links:
    """`grow_diag`, and then every link of either direction of which a word is still bare."""
    return _final(_final(grow_diag(forward, backward), forward, both_bare=False), backward, both_bare=False)


def grow_diag_final_and(forward: Links, backward: Links) -> Links:
    """`grow_diag`, and then every link of either direction of which both words are still bare."""
    return _final(_final(grow_diag(forward, backward), forward, both_bare=True), backward, both_bare=True)


HEURISTICS: dict[str, Callable[[Links, Links], Links]] = {
    "intersection": intersection,
    "union": union,
    "grow-diag": grow_diag,
    "grow-diag-final": grow_diag_final,
    "grow-diag-final-and": grow_diag_final_and,
}
