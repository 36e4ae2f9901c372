"""Beam search over a whole batch, with a stopping rule that gives nothing away.

One step, for all sentences at once:

    rules        lower the log-probabilities of pieces that may not come
    expand       the best 2 * W candidates of each sentence: at most W of them end, so W open ones always remain
    finish       candidates that end and are among the best W are offered to the sentence's n-best list
    advance      the best W candidates that do not end become the new beams
    leave        a sentence goes when none of its open hypotheses can still enter its n-best list

**The stopping rule is exact.** Log-probabilities only fall as a hypothesis grows, and for `length_penalty >= 0` the
penalty only rises, so nothing that grows out of an open hypothesis with log-probability l scores more than
`l / max_length ** length_penalty` (Huang et al. 2017, "When to Finish?", state the case without a penalty). While that
bound is above the worst of the n-best list the sentence goes on. The result is the one that a search up to the maximum
length would give, so it does not matter how many were asked for: the best of 1 is the best of 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mt.decode.candidates import Candidates, expand
from mt.decode.greedy import greedy_search
from mt.decode.rules import Rule, apply_rules
from mt.decode.search import Hypothesis, Search
from mt.decode.stepper import Stepper
from mt.decode.trellis import ROOT, Kept, Trellis


@dataclass(slots=True)
class Beams:
    """The open hypotheses of the sentences still in the batch."""

    owner: Int[Tensor, " B"]  # the place of each sentence in the call
    limit: Int[Tensor, " B"]  # its maximum length
    log_prob: Float[Tensor, "B W"]  # best first; minus infinity: a beam that nothing fills
    node: Int[Tensor, "B W"]
    prefix: Int[Tensor, "B W T"]

    @property
    def rows(self) -> Int[Tensor, "B W"]:
        """The stepper's row of each beam."""
        return torch.arange(self.node.numel(), device=self.node.device).view(self.node.shape)

    def select(self, stay: Int[Tensor, " B2"]) -> "Beams":
        """The beams of the sentences that stay."""
        columns = (self.owner, self.limit, self.log_prob, self.node, self.prefix)
        return Beams(*(column[stay] for column in columns))


@torch.inference_mode()
def beam_search(
    stepper: Stepper, source: list[list[int]], *, search: Search, rules: Sequence[Rule] = ()
) -> list[list[Hypothesis]]:
    """The `search.nbest` best translations of each source sentence (piece ids, ended by eos), best first.

    No sentence goes empty-handed: hypotheses cut at the maximum length fill the places that finished ones leave, and
    rank behind them. A sentence's result does not depend on the others in the batch if the stepper's rows do not.
    Beam 1 is `greedy_search`, whatever the penalty: there is no second hypothesis that a later one could grow from.
    """
    if search.beam == 1:
        return greedy_search(stepper, source, search=search, rules=rules)
    return search_beams(stepper, source, search, rules)


def search_beams(
    stepper: Stepper, source: list[list[int]], search: Search, rules: Sequence[Rule]
) -> list[list[Hypothesis]]:
    """The loop of `beam_search`."""
    if not source:
        return []
    limits = search.max_lengths(source)
    penalty = torch.tensor(search.penalties(max(limits)), dtype=torch.float32, device=stepper.device)
    rules = (search.never(), *rules)
    stepper.start(source)
    beams = first_beams(limits, stepper.device)
    tokens = torch.full_like(beams.owner, search.bos)
    trellis = Trellis()
    finished = Kept(len(source), search.nbest, stepper.device)
    unfinished = Kept(len(source), search.nbest, stepper.device)
    while len(beams.owner):
        owner = beams.owner.repeat_interleave(beams.node.shape[1])
        log_probs = apply_rules(rules, beams.prefix.flatten(0, 1), stepper.step(tokens), owner)
        candidates = expand(beams.log_prob, log_probs, 2 * search.beam)
        nodes = trellis.add(candidates, beams.node)
        ends = (candidates.token == search.eos) & (candidates.total > -torch.inf)
        finish(finished, beams.owner, candidates.total / penalty[beams.prefix.shape[2] + 1], nodes, ends)
        following, rows = advance(beams, candidates, nodes, ends)
        going = goes_on(following, finished, penalty)
        stay = going.nonzero().flatten()
        some_leave = len(stay) < len(beams.owner)
        if some_leave:
            give_up(unfinished, finished, before=beams, beams=following, going=going, penalty=penalty)
            following, rows = following.select(stay), rows[stay]
        if len(stay):
            stepper.reorder(rows.flatten(), stay if some_leave else None)
        beams = following
        tokens = beams.prefix[:, :, -1].flatten()
    return results(trellis, finished, unfinished, search.nbest)


def first_beams(limits: list[int], device: torch.device) -> Beams:
    """One empty hypothesis for each sentence."""
    column = (len(limits), 1)
    return Beams(
        owner=torch.arange(len(limits), device=device),
        limit=torch.tensor(limits, device=device),
        log_prob=torch.zeros(column, device=device),
        node=torch.full(column, ROOT, device=device),
        prefix=torch.zeros((*column, 0), dtype=torch.long, device=device),
    )


def finish(
    finished: Kept,
    owner: Int[Tensor, " B"],
    score: Float[Tensor, "B C"],
    node: Int[Tensor, "B C"],
    ends: Bool[Tensor, "B C"],
) -> None:
    """Offer the candidates that end, if they are in the better half, the best W of 2 * W.

    An end further down would not have a place in the beam either: counting it would make short output likelier the
    wider one looks.
    """
    num_beams = score.shape[1] // 2
    score = score.masked_fill(~ends, -torch.inf)
    finished.offer(owner, score[:, :num_beams], node[:, :num_beams])


def advance(
    beams: Beams, candidates: Candidates, nodes: Int[Tensor, "B C"], ends: Bool[Tensor, "B C"]
) -> tuple[Beams, Int[Tensor, "B W"]]:
    """The best half of the candidates that do not end as new beams, and the rows that they continue."""
    num_beams = nodes.shape[1] // 2
    places = ends.int().argsort(dim=1, stable=True)[:, :num_beams]
    best = candidates.pick(places)
    prefix = beams.prefix.gather(1, best.beam[:, :, None].expand(-1, -1, beams.prefix.shape[2]))
    following = Beams(
        owner=beams.owner,
        limit=beams.limit,
        log_prob=best.total,
        node=nodes.gather(1, places),
        prefix=torch.cat([prefix, best.token[:, :, None]], dim=2),
    )
    return following, beams.rows.gather(1, best.beam)


def goes_on(beams: Beams, finished: Kept, penalty: Float[Tensor, " L"]) -> Bool[Tensor, " B"]:
    """Which sentences are below their maximum length and can still better their n-best list."""
    bound = beams.log_prob[:, 0] / penalty[beams.limit]
    worst = finished.score[beams.owner, -1]
    return (bound > worst) & (beams.limit > beams.prefix.shape[2])


def give_up(
    unfinished: Kept,
    finished: Kept,
    *,
    before: Beams,
    beams: Beams,
    going: Bool[Tensor, " B"],
    penalty: Float[Tensor, " L"],
) -> None:
    """Offer the open hypotheses of the sentences that leave.

    Where a sentence has neither an open hypothesis nor a finished one, because the rules allowed no piece, those from
    `before` the step are offered.
    """
    length = beams.prefix.shape[2]
    score = (beams.log_prob / penalty[length]).masked_fill(going[:, None], -torch.inf)
    unfinished.offer(beams.owner, score, beams.node)
    empty = (beams.log_prob[:, 0] == -torch.inf) & (finished.score[beams.owner, 0] == -torch.inf)
    score = (before.log_prob / penalty[length - 1]).masked_fill(~empty[:, None], -torch.inf)
    unfinished.offer(before.owner, score, before.node)


def results(trellis: Trellis, finished: Kept, unfinished: Kept, nbest: int) -> list[list[Hypothesis]]:
    """The n-best lists: finished hypotheses, then unfinished ones where places are left."""
    lists = [
        [(*entry, True) for entry in done] + [(*entry, False) for entry in cut]
        for done, cut in zip(finished.entries(), unfinished.entries(), strict=True)
    ]
    paths = iter(trellis.paths([node for entries in lists for _, node, _ in entries[:nbest]]))
    return [[hypothesis(*next(paths), score, done) for score, _, done in entries[:nbest]] for entries in lists]


def hypothesis(tokens: list[int], pieces: list[float], log_prob: float, score: float, finished: bool) -> Hypothesis:
    """A path of the trellis as a result; a finished one sheds its end mark."""
    return Hypothesis(
        tokens=tokens[:-1] if finished else tokens,
        score=score,
        log_prob=log_prob,
        token_log_probs=pieces,
        finished=finished,
    )
