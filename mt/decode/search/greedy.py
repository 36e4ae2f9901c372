"""Greedy search: always the best piece. A beam of one, without what a beam needs to compare hypotheses."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mt.decode.search.candidates import best_piece
from mt.decode.search.rules import Rule, apply_rules
from mt.decode.search.settings import Hypothesis, Search
from mt.decode.search.stepper import Stepper
from mt.nn.source import Items


def staying(going: Bool[Tensor, " B"]) -> Int[Tensor, " B2"]:
    """Which sentences stay in the batch, those that go on: in their places, and the last ones in those of others.

    Nothing has to be moved for those that keep their place (see `mt.nn.cache`).
    """
    stay = going.nonzero().flatten()
    size = len(stay)
    order = torch.arange(size, device=stay.device)
    order[(~going[:size]).nonzero().flatten()] = stay[stay >= size]
    return order


class Transcript:
    """What has been written for every sentence of a call."""

    def __init__(self, num_sentences: int, longest: int, device: torch.device) -> None:
        self.tokens = torch.zeros((num_sentences, longest), dtype=torch.long, device=device)
        self.pieces = torch.zeros((num_sentences, longest), device=device)  # log-probabilities of the tokens
        self.log_prob = torch.zeros(num_sentences, device=device)
        self.length = torch.zeros(num_sentences, dtype=torch.long, device=device)
        self.finished = torch.zeros(num_sentences, dtype=torch.bool, device=device)

    def write(
        self,
        place: int,
        owner: Int[Tensor, " R"],
        token: Int[Tensor, " R"],
        piece: Float[Tensor, " R"],
        is_open: Bool[Tensor, " R"],
    ) -> None:
        """The next token of these sentences; what those that have ended write lies behind their length."""
        self.tokens[owner, place] = token
        self.pieces[owner, place] = piece
        self.log_prob[owner] += piece.masked_fill(~is_open, 0.0)
        self.length[owner] += is_open

    def hypotheses(self, search: Search) -> list[list[Hypothesis]]:
        """One hypothesis for each sentence."""
        penalty = torch.tensor(search.penalties(self.tokens.shape[1]), dtype=torch.float32, device=self.length.device)
        columns = (
            self.tokens,
            self.pieces,
            self.log_prob,
            self.log_prob / penalty[self.length],
            self.length,
            self.finished,
        )
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [
            [
                Hypothesis(
                    tokens=tokens[: length - finished],
                    score=score,
                    log_prob=log_prob,
                    token_log_probs=pieces[:length],
                    finished=finished,
                )
            ]
            for tokens, pieces, log_prob, score, length, finished in rows
        ]


@torch.inference_mode()
def greedy_search(
    stepper: Stepper, source: Items, *, search: Search, rules: Sequence[Rule] = ()
) -> list[list[Hypothesis]]:
    """The one translation of each source sentence that takes the best piece at every step.

    Of equally good pieces the one with the lowest id (`torch.max` promises the first). Unfinished when cut at the
    maximum length, or where the rules allowed no piece. `search.beam` is not looked at.
    """
    if not source:
        return []
    limits = search.max_lengths(source)
    rules = (search.never(), *rules)
    stepper.start(source)
    owner = torch.arange(len(source), device=stepper.device)
    limit = torch.tensor(limits, device=stepper.device)
    token = torch.full_like(owner, search.bos)
    prefix = token[:, None][:, :0]
    is_open = torch.ones_like(owner, dtype=torch.bool)
    transcript = Transcript(len(source), max(limits), stepper.device)
    for place in range(max(limits)):
        piece, token = best_piece(apply_rules(rules, prefix, stepper.step(token), owner))
        is_open &= piece > -torch.inf
        transcript.write(place, owner, token, piece, is_open)
        transcript.finished[owner] |= is_open & (token == search.eos)
        is_open &= (token != search.eos) & (limit > place + 1)
        prefix = torch.cat([prefix, token[:, None]], dim=1)
        num_open = int(is_open.sum())
        if num_open == 0:
            break
        if num_open < len(owner):
            stay = staying(is_open)
            stepper.reorder(stay, stay)
            columns = (owner, limit, token, prefix, is_open)
            owner, limit, token, prefix, is_open = (column[stay] for column in columns)
    return transcript.hypotheses(search)
