"""A stepper whose probabilities are written in a table, and two slow, obvious searches to hold the fast ones to."""

import math
import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch

from mt.decode.search.settings import Hypothesis, Search

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

    def prepared(self) -> nullcontext[None]:
        return nullcontext()

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
        assert len(stay) == len(set(stay))
        new_width, left_over = divmod(len(rows), len(stay))
        assert left_over == 0
        assert [row // old_width for row in rows.tolist()] == [s for s in stay for _ in range(new_width)]
        self.prefixes = [self.prefixes[row] for row in rows.tolist()]
        self.sources = [self.sources[sentence] for sentence in stay]


def settings(**changes: object) -> Search:
    """A `Search` over the small vocabulary by the exact stopping rule; its longest output is `max_length` however short
    the source."""
    values = {"bos": BOS, "eos": EOS, "pad": PAD, "patience": None, "max_extra": 1000, "max_length": 4} | changes
    return Search(**values)  # pyright: ignore[reportArgumentType]


def found(results: Sequence[Sequence[Hypothesis]]) -> list[list[list[int]]]:
    """The tokens alone."""
    return [[hypothesis.tokens for hypothesis in hypotheses] for hypotheses in results]


def allowed(table: Table, source: tuple[int, ...], prefix: tuple[int, ...]) -> list[tuple[float, int]]:
    """What may follow a prefix."""
    pieces = enumerate(table(source, prefix))
    return [(p, token) for token, p in pieces if token not in (PAD, BOS) and p > -math.inf]


def exhaustive_search(
    table: Table, source: list[int], search: Search, *, shortest: int = 0
) -> list[tuple[float, list[int], bool]]:
    """All (score, tokens, finished) there are, best first, unfinished ones last.

    Args: shortest: the fewest pieces, the end mark not counted.
    """
    longest = search.max_lengths([source])[0]
    penalty = search.penalties(longest)
    hypotheses = []

    def grow(prefix: tuple[int, ...], log_prob: float) -> None:
        for p, token in allowed(table, tuple(source), prefix):
            score = (log_prob + p) / penalty[len(prefix) + 1]
            if token == EOS:
                if len(prefix) >= shortest:
                    hypotheses.append((score, list(prefix), True))
            elif len(prefix) + 1 == longest:
                hypotheses.append((score, [*prefix, token], False))
            else:
                grow((*prefix, token), log_prob + p)

    grow((), 0.0)
    return sorted(hypotheses, key=lambda entry: (not entry[2], -entry[0]))


def patient_search(table: Table, source: list[int], search: Search) -> list[tuple[float, list[int], bool]]:
    """Beam search in plain Python that never stops before the maximum length, or before the first step at which, with
    a patience, enough hypotheses have ended and no open one is ahead of them; ties as `expand` documents them.

    With groups, each is a search of its own whose candidates cost more for what earlier groups have just said.
    """
    num_beams, longest = search.beam // search.groups, search.max_lengths([source])[0]
    beams: list[list[tuple[float, tuple[int, ...]]]] = [[(0.0, ())] for _ in range(search.groups)]
    finished: list[list[tuple[float, list[int], bool]]] = [[] for _ in range(search.groups)]
    penalties = search.penalties(longest)
    for length in range(1, longest + 1):
        said: list[int] = []
        for group in range(search.groups):
            candidates = []
            for n, (log_prob, prefix) in enumerate(beams[group]):
                for p, token in allowed(table, tuple(source), prefix):
                    cost = search.diversity * said.count(token)
                    candidates.append((-(log_prob + (p - cost)), n, -(p - cost), token, log_prob + p, prefix))
            candidates = sorted(candidates)[: 2 * num_beams]
            for _, _, _, token, total, prefix in candidates[:num_beams]:
                if token == EOS:
                    finished[group].append((total / penalties[length], list(prefix), True))
            following = [(total, (*prefix, token)) for _, _, _, token, total, prefix in candidates if token != EOS]
            beams[group] = following[:num_beams]
            said += [prefix[-1] for _, prefix in beams[group]]
        best_open = [max((total / penalties[length] for total, _ in going), default=-math.inf) for going in beams]
        best_ended = [max((score for score, _, _ in done), default=-math.inf) for done in finished]
        behind = all(one <= other for one, other in zip(best_open, best_ended, strict=True))
        enough = max((search.patience or math.inf) * search.beam, search.nbest)
        if behind and all(len(done) >= enough for done in finished):
            longest = length
            break
    lists = []
    for done, still_open in zip(finished, beams, strict=True):
        done.sort(key=lambda entry: -entry[0])
        cut = [(log_prob / penalties[longest], list(prefix), False) for log_prob, prefix in still_open]
        lists.append((done + sorted(cut, key=lambda entry: -entry[0]))[: search.nbest])
    taken: list[tuple[float, list[int], bool]] = []
    for rank in range(search.nbest):
        for entries in lists:
            known = [entry[1:] for entry in taken]
            if rank < len(entries) and len(taken) < search.nbest and entries[rank][1:] not in known:
                taken.append(entries[rank])
    return sorted(taken, key=lambda entry: (not entry[2], -entry[0]))
