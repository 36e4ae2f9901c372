"""A stepper whose probabilities are written in a table, and two slow, obvious searches to hold the fast ones to."""

import math
import random
from collections.abc import Callable, Sequence

import torch

from mt.decode.search import Hypothesis, Search

PAD, BOS, EOS, A, B = range(5)  # two words and the marks
Table = Callable[[tuple[int, ...], tuple[int, ...]], list[float]]  # (source, pieces so far) -> log-probabilities


def written(table: dict[tuple[int, ...], list[float]]) -> Table:
    """A table of probabilities of (eos, A, B) after each prefix, the same for every source; nothing follows others."""
    nothing = [0.0, 0.0, 0.0]

    def look_up(_source: tuple[int, ...], prefix: tuple[int, ...]) -> list[float]:
        return [-math.inf, -math.inf, *(math.log(p) if p else -math.inf for p in table.get(prefix, nothing))]

    return look_up


def drawn(seed: int, *, num_words: int = 2, coarse: bool = False) -> Table:
    """A random table: a pure function of (seed, source, prefix), which also makes pad and bos likely.

    `coarse` log-probabilities are whole numbers: ties everywhere, and sums that are exact.
    """

    def look_up(source: tuple[int, ...], prefix: tuple[int, ...]) -> list[float]:
        rng = random.Random(repr((seed, source, prefix)))
        if coarse:
            return [float(-rng.randint(0, 3)) for _ in range(EOS + 1 + num_words)]
        logits = torch.tensor([rng.gauss(0, 1.5) for _ in range(EOS + 1 + num_words)])
        return logits.log_softmax(0).tolist()

    return look_up


class TableStepper:
    """Follows the protocol to the letter and refuses a search that does not."""

    device = torch.device("cpu")

    def __init__(self, table: Table) -> None:
        self.table = table
        self.sources: list[tuple[int, ...]] = []
        self.prefixes: list[tuple[int, ...]] = []
        self.num_steps = 0
        self.num_rows: list[int] = []

    def start(self, source: list[list[int]]) -> None:
        self.sources = [tuple(sentence) for sentence in source]
        self.prefixes = [() for _ in source]
        self.num_steps = 0
        self.num_rows = []

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        assert len(tokens) == len(self.prefixes)
        if self.num_steps:
            self.prefixes = [(*prefix, token) for prefix, token in zip(self.prefixes, tokens.tolist(), strict=True)]
        else:
            assert tokens.tolist() == [BOS] * len(self.sources)
        self.num_steps += 1
        self.num_rows.append(len(tokens))
        width = len(self.prefixes) // len(self.sources)
        rows = [self.table(self.sources[row // width], prefix) for row, prefix in enumerate(self.prefixes)]
        return torch.tensor(rows, dtype=torch.float32)

    def reorder(self, rows: torch.Tensor, sentences: torch.Tensor | None = None) -> None:
        old_width = len(self.prefixes) // len(self.sources)
        stay = list(range(len(self.sources))) if sentences is None else sentences.tolist()
        assert stay == sorted(set(stay))
        new_width, left_over = divmod(len(rows), len(stay))
        assert left_over == 0
        assert [row // old_width for row in rows.tolist()] == [s for s in stay for _ in range(new_width)]
        self.prefixes = [self.prefixes[row] for row in rows.tolist()]
        self.sources = [self.sources[sentence] for sentence in stay]


def settings(**changes: object) -> Search:
    """A `Search` over the small vocabulary, whose longest output is `max_length` however short the source."""
    values = {"bos": BOS, "eos": EOS, "pad": PAD, "max_extra": 1000, "max_length": 4} | changes
    return Search(**values)  # pyright: ignore[reportArgumentType]


def found(results: Sequence[Sequence[Hypothesis]]) -> list[list[list[int]]]:
    """The tokens alone."""
    return [[hypothesis.tokens for hypothesis in hypotheses] for hypotheses in results]


def allowed(table: Table, source: tuple[int, ...], prefix: tuple[int, ...]) -> list[tuple[float, int]]:
    """What may follow a prefix."""
    pieces = enumerate(table(source, prefix))
    return [(p, token) for token, p in pieces if token not in (PAD, BOS) and p > -math.inf]


def exhaustive_search(table: Table, source: list[int], search: Search) -> list[tuple[float, list[int], bool]]:
    """All (score, tokens, finished) there are, best first, unfinished ones last."""
    longest = search.max_lengths([source])[0]
    hypotheses = []

    def grow(prefix: tuple[int, ...], log_prob: float) -> None:
        for p, token in allowed(table, tuple(source), prefix):
            score = (log_prob + p) / (len(prefix) + 1) ** search.length_penalty
            if token == EOS:
                hypotheses.append((score, list(prefix), True))
            elif len(prefix) + 1 == longest:
                hypotheses.append((score, [*prefix, token], False))
            else:
                grow((*prefix, token), log_prob + p)

    grow((), 0.0)
    return sorted(hypotheses, key=lambda entry: (not entry[2], -entry[0]))


def patient_search(table: Table, source: list[int], search: Search) -> list[tuple[float, list[int], bool]]:
    """Beam search in plain Python that never stops before the maximum length; ties as `expand` documents them."""
    beams: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    finished, penalty = [], 1.0
    for length in range(1, search.max_lengths([source])[0] + 1):
        penalty = length**search.length_penalty
        pieces = [(n, log_prob, prefix) for n, (log_prob, prefix) in enumerate(beams)]
        candidates = [
            (-(log_prob + p), n, -p, token, prefix)
            for n, log_prob, prefix in pieces
            for p, token in allowed(table, tuple(source), prefix)
        ]
        candidates = sorted(candidates)[: 2 * search.beam]
        top = candidates[: search.beam]
        finished += [(-total / penalty, list(prefix), True) for total, _, _, token, prefix in top if token == EOS]
        beams = [(-total, (*prefix, token)) for total, _, _, token, prefix in candidates if token != EOS][: search.beam]
    unfinished = [(log_prob / penalty, list(prefix), False) for log_prob, prefix in beams]
    finished.sort(key=lambda entry: -entry[0])
    return (finished + unfinished)[: search.nbest]
