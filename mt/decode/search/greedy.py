"""Greedy search: the best token at every step. A beam of one, without what a beam needs to compare hypotheses."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mt.decode.search.candidates import best_token
from mt.decode.search.rules import Rule, apply_rules
from mt.decode.search.settings import Hypothesis, Search
from mt.decode.search.stepper import Stepper
from mt.nn.source import Items


def staying(is_open: Bool[Tensor, " B"]) -> Int[Tensor, " B2"]:
    """The open sentences, which stay in the batch: each in its place if possible, the last ones in the free places.

    Nothing has to be moved for those that keep their place (see `mt.nn.cache`).
    """
    stay = is_open.nonzero().flatten()
    size = len(stay)
    order = torch.arange(size, device=stay.device)
    order[(~is_open[:size]).nonzero().flatten()] = stay[stay >= size]
    return order


class Transcript:
    """The output of every sentence of a call."""

    def __init__(self, num_sentences: int, longest: int, device: torch.device) -> None:
        self.tokens = torch.zeros((num_sentences, longest), dtype=torch.long, device=device)
        self.token_log_probs = torch.zeros((num_sentences, longest), device=device)
        self.log_prob = torch.zeros(num_sentences, device=device)
        self.length = torch.zeros(num_sentences, dtype=torch.long, device=device)
        self.finished = torch.zeros(num_sentences, dtype=torch.bool, device=device)

    def write(
        self,
        place: int,
        owner: Int[Tensor, " R"],
        token: Int[Tensor, " R"],
        token_log_prob: Float[Tensor, " R"],
        is_open: Bool[Tensor, " R"],
    ) -> None:
        """Append a token to each of these sentences; tokens of ended sentences lie beyond their length."""
        self.tokens[owner, place] = token
        self.token_log_probs[owner, place] = token_log_prob
        self.log_prob[owner] += token_log_prob.masked_fill(~is_open, 0.0)
        self.length[owner] += is_open

    def hypotheses(self, search: Search) -> list[Hypothesis]:
        """The hypothesis of each sentence."""
        penalty = torch.tensor(search.penalties(self.tokens.shape[1]), dtype=torch.float32, device=self.length.device)
        score = self.log_prob / penalty[self.length]
        columns = (self.tokens, self.token_log_probs, self.log_prob, score, self.length, self.finished)
        return [
            Hypothesis(
                tokens=tokens[: length - finished],
                score=score,
                log_prob=log_prob,
                token_log_probs=token_log_probs[:length],
                finished=finished,
            )
            for tokens, token_log_probs, log_prob, score, length, finished in zip(
                *(column.tolist() for column in columns), strict=True
            )
        ]


@torch.inference_mode()
def greedy_search(
    stepper: Stepper, source: Items, *, search: Search, rules: Sequence[Rule] = ()
) -> list[list[Hypothesis]]:
    """The one translation of each source sentence that takes the best token at every step.

    Of equally good tokens the lowest id (`torch.max` promises the first). Unfinished when cut at the maximum length, or
    where the rules allow no token. `search.beam` is ignored.
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
        token_log_prob, token = best_token(apply_rules(rules, prefix, stepper.step(token), owner))
        is_open &= token_log_prob > -torch.inf
        transcript.write(place, owner, token, token_log_prob, is_open)
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
    return [[hypothesis] for hypothesis in transcript.hypotheses(search)]
