"""The memory of a search: all its nodes, and the best hypotheses of each sentence."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.decode.search.candidates import Candidates

ROOT = -1  # the node before the first token


class Trellis:
    """Every candidate of every step as a node that points to the node it continues.

    A hypothesis is the number of its last node: nothing is copied when beams change places or sentences leave, and
    paths are followed once, at the end.
    """

    def __init__(self) -> None:
        self.size = 0
        self.steps: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def add(self, candidates: Candidates, nodes: Int[Tensor, "B W"]) -> Int[Tensor, "B C"]:
        """Add one step, whose beams end in `nodes`. Returns: the numbers of the new nodes."""
        total = candidates.total
        self.steps.append((nodes.gather(1, candidates.beam), candidates.token, candidates.token_log_prob, total))
        numbers = torch.arange(self.size, self.size + total.numel(), device=total.device)
        self.size += total.numel()
        return numbers.view(total.shape)

    def paths(self, nodes: list[int]) -> list[tuple[list[int], list[float], float]]:
        """For each node: the tokens that lead to it, their log-probabilities, and the log-probability of the whole."""
        columns = zip(*self.steps, strict=True)
        parents, tokens, token_log_probs, totals = (
            torch.cat([step.flatten() for step in column]).tolist() for column in columns
        )
        found = []
        for last in nodes:
            path = []
            node = last
            while node != ROOT:
                path.append(node)
                node = parents[node]
            path.reverse()
            total = 0.0 if last == ROOT else totals[last]
            found.append(([tokens[node] for node in path], [token_log_probs[node] for node in path], total))
        return found


class NBestLists:
    """The best `size` hypotheses of every sentence of a call, best first, earlier ones first among equals."""

    def __init__(self, num_sentences: int, size: int, device: torch.device) -> None:
        self.size = size
        self.score = torch.full((num_sentences, size), -torch.inf, device=device)  # minus infinity: an empty place
        self.node = torch.full((num_sentences, size), ROOT, device=device)
        self.offered = torch.zeros(num_sentences, dtype=torch.long, device=device)  # the number of offers, taken or not

    def offer(self, owner: Int[Tensor, " B"], score: Float[Tensor, "B C"], node: Int[Tensor, "B C"]) -> None:
        """Keep the best of the present and the offered hypotheses. A score of minus infinity offers nothing."""
        scores = torch.cat([self.score[owner], score], dim=1)
        nodes = torch.cat([self.node[owner], node], dim=1)
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        self.score[owner] = scores[:, : self.size]
        self.node[owner] = nodes.gather(1, order[:, : self.size])
        self.offered[owner] += (score > -torch.inf).sum(dim=1)

    def entries(self) -> list[list[tuple[float, int]]]:
        """For each sentence the (score, node) of every hypothesis."""
        pairs = zip(self.score.tolist(), self.node.tolist(), strict=True)
        return [[(s, n) for s, n in zip(*pair, strict=True) if s > -torch.inf] for pair in pairs]
