"""Beam search over a whole batch, with two rules for when to stop.

One step, for all sentences at once:

    rules        set the log-probabilities of forbidden tokens to minus infinity
    expand       the best 2 * W candidates of each sentence: at most W of them end, so W open ones always remain
    finish       candidates that end and are among the best W are offered to the sentence's n-best list
    advance      the best W candidates that do not end become the new beams
    close        a sentence is done when no open hypothesis can still enter its n-best list, or enough have ended
    leave        sentences that are done leave the batch

**The exact rule.** Log-probabilities only fall as a hypothesis grows, and the length penalty only rises
(`Search` has none that falls), so no continuation of an open hypothesis with log-probability l scores more than
`l / penalty(maximum length)` (Huang et al. 2017, "When to Finish?", state the case without a penalty). A sentence
continues while that bound is above the worst of its n-best list. The result is that of a search up to the maximum
length and does not depend on `nbest`: the best of 1 is the best of 5. The rule does not depend on how the beams were
chosen, so it holds for diverse beam search, whose groups have an n-best list each, and for lexical constraints.

**Patience.** The exact rule takes 1.1 to 1.7 times as long as the rule of most programs, for 0.0 to 0.2 BLEU
(docs/BENCHMARKS.md). With `Search.patience` a sentence is done, too, when `patience * beam` hypotheses of it have ended
(Kasai et al. 2022, "A Call for Clarity in Beam Search", arXiv 2204.05424), but not before `nbest` have, and not while
an open one has a better score than all that have ended: a confident model has one good hypothesis, and the rest of its
beam soon fills with poor ones that have ended. CTranslate2 has the same rule with a patience of 1, the default of
`decode.patience`, but without this last condition. With a patience below 1 the best one may depend on `nbest`.

Groups and lexical constraints only change `expand`: groups choose one after the other (`diverse.py`), and constraints
define another order of candidates (`beam_allocation.py`). A *unit* has a beam of its own: it is a sentence, or one of
its groups, U = B * groups of them side by side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mt.decode.search.beam_allocation import allocate_beam
from mt.decode.search.candidates import Candidates, expand
from mt.decode.search.coverage import Coverage
from mt.decode.search.diverse import different, expand_groups
from mt.decode.search.greedy import greedy_search, staying
from mt.decode.search.lexical import LexicalConstraints, Progress
from mt.decode.search.rules import Rule, apply_rules
from mt.decode.search.settings import Hypothesis, Search
from mt.decode.search.stepper import AttentionStepper, Stepper
from mt.decode.search.trellis import ROOT, NBestLists, Trellis
from mt.errors import ConfigError
from mt.nn.source import Items


@dataclass(slots=True)
class Beams:
    """The open hypotheses of the sentences still in the batch, by unit."""

    owner: Int[Tensor, " U"]  # the place of each unit in the call
    limit: Int[Tensor, " U"]  # its maximum length
    log_prob: Float[Tensor, "U W"]  # minus infinity: an empty beam
    node: Int[Tensor, "U W"]
    prefix: Int[Tensor, "U W T"]
    progress: Progress | None = None  # with lexical constraints
    coverage: Coverage | None = None  # with a coverage penalty

    @property
    def rows(self) -> Int[Tensor, "U W"]:
        """The stepper's row of each beam."""
        return torch.arange(self.node.numel(), device=self.node.device).view(self.node.shape)

    def select(self, stay: Int[Tensor, " U2"]) -> "Beams":
        """The beams of the units that stay."""
        fields = (self.owner, self.limit, self.log_prob, self.node, self.prefix)
        progress = self.progress and Progress(self.progress.bits[stay], self.progress.met[stay])
        owner, limit, log_prob, node, prefix = (field[stay] for field in fields)
        return Beams(owner, limit, log_prob, node, prefix, progress, self.coverage and self.coverage.select(stay))

    def scores(self, penalty: Float[Tensor, " L"], length: int) -> Float[Tensor, "U W"]:
        """The scores of the hypotheses, which have `length` tokens."""
        return (self.log_prob if self.coverage is None else self.log_prob + self.coverage.cost()) / penalty[length]

    def scores_of(self, candidates: Candidates, penalty: Float[Tensor, " L"]) -> Float[Tensor, "U C"]:
        """The scores of the candidates, which have one token more."""
        total = candidates.total
        if self.coverage is not None:
            total = total + self.coverage.cost().gather(1, candidates.beam)
        return total / penalty[self.prefix.shape[2] + 1]


@torch.inference_mode()
def beam_search(
    stepper: Stepper,
    source: Items,
    *,
    search: Search,
    rules: Sequence[Rule] = (),
    constraints: LexicalConstraints | None = None,
) -> list[list[Hypothesis]]:
    """The `search.nbest` best translations of each source item (of text: token ids, ended by eos), best first.

    Every sentence has a result: hypotheses cut at the maximum length fill the places that finished ones leave, and rank
    behind them. A sentence's result does not depend on the others in the batch if the stepper's rows do not. Beam 1 is
    `greedy_search`, whatever the penalty, since there is only one hypothesis to continue.

    With `constraints`, finished hypotheses have all terms, and so have the unfinished ones of a sentence whose terms
    fit within its maximum length, as long as the rules do not forbid them. Raises `ConfigError` for constraints with
    groups.
    """
    if constraints is not None and search.groups > 1:
        raise ConfigError(
            "a glossary's terms cannot be required with `decode.groups`.", hint="leave out one of the two."
        )
    if search.beam == 1 and constraints is None:
        return greedy_search(stepper, source, search=search, rules=rules)
    return search_beams(stepper, source, search, rules, constraints)


def search_beams(
    stepper: Stepper,
    source: Items,
    search: Search,
    rules: Sequence[Rule],
    constraints: LexicalConstraints | None = None,
) -> list[list[Hypothesis]]:
    """The loop of `beam_search`."""
    if not source:
        return []
    limits = search.max_lengths(source)
    penalty = torch.tensor(search.penalties(max(limits)), dtype=torch.float32, device=stepper.device)
    rules = (search.never(), *rules)
    stepper.start(source)
    beams = first_beams(limits, search.groups, stepper.device, constraints)
    attention = keeping_weights(stepper) if search.coverage_penalty else None
    if attention:
        beams.coverage = Coverage.first(search.coverage_penalty, source, search.groups, stepper.device)
    tokens = torch.full((len(source),), search.bos, device=stepper.device)
    trellis = Trellis()
    num_units = len(source) * search.groups
    finished = NBestLists(num_units, search.nbest, stepper.device)
    unfinished = NBestLists(num_units, search.nbest, stepper.device)
    while len(beams.owner):
        log_probs = stepper.step(tokens)
        if len(log_probs) < beams.node.numel():  # the first step of several groups: all begin as the sentence does
            fan_out = torch.arange(len(source), device=stepper.device).repeat_interleave(search.groups)
            stepper.reorder(fan_out)
            log_probs = log_probs[fan_out]
        if attention and beams.coverage:
            beams.coverage = beams.coverage.add(attention.weights())
        sentence = (beams.owner // search.groups).repeat_interleave(beams.node.shape[1])  # of each row
        log_probs = apply_rules(rules, beams.prefix.flatten(0, 1), log_probs, sentence)
        candidates, progress = choose(beams, log_probs, search, constraints)
        nodes = trellis.add(candidates, beams.node)
        ends = (candidates.token == search.eos) & (candidates.total > -torch.inf)
        finish(finished, beams.owner, beams.scores_of(candidates, penalty), nodes, ends)
        following, rows = advance(beams, candidates, nodes, ends, progress)
        going = can_improve(following, finished, penalty, search.enough)
        going = going.view(-1, search.groups).any(dim=1)  # a sentence is done with its last group
        num_going = int(going.sum())
        if num_going < len(going) or search.groups > 1:
            of_units = going.repeat_interleave(search.groups)
            offer_unfinished(unfinished, finished, before=beams, beams=following, going=of_units, penalty=penalty)
            following.log_prob = following.log_prob.masked_fill(~of_units[:, None], -torch.inf)
        some_leave = num_going < len(going)
        # Only where needed: `staying` waits for the device three times.
        stay = staying(going) if some_leave else torch.arange(num_going, device=stepper.device)
        if some_leave:
            units = torch.arange(len(beams.owner), device=stepper.device).view(-1, search.groups)[stay].flatten()
            following, rows = following.select(units), rows[units]
            constraints = constraints and constraints.select(stay)
        if len(stay):
            stepper.reorder(rows.flatten(), stay if some_leave else None)
        beams = following
        tokens = beams.prefix[:, :, -1].flatten()
    return results(trellis, finished, unfinished, search)


def first_beams(limits: list[int], groups: int, device: torch.device, constraints: LexicalConstraints | None) -> Beams:
    """One empty hypothesis for each unit."""
    shape = (len(limits) * groups, 1)
    return Beams(
        owner=torch.arange(shape[0], device=device),
        limit=torch.tensor(limits, device=device).repeat_interleave(groups),
        log_prob=torch.zeros(shape, device=device),
        node=torch.full(shape, ROOT, device=device),
        prefix=torch.zeros((*shape, 0), dtype=torch.long, device=device),
        progress=constraints and constraints.start(),
    )


def keeping_weights(stepper: Stepper) -> AttentionStepper:
    """The stepper, made to keep its attention weights. Raises: ConfigError: when it cannot."""
    if not isinstance(stepper, AttentionStepper):
        raise ConfigError(
            "`decode.coverage_penalty` needs models that give their attention weights.", hint="leave it at 0."
        )
    stepper.keep_weights()
    return stepper


def choose(
    beams: Beams, log_probs: Float[Tensor, "R V"], search: Search, constraints: LexicalConstraints | None
) -> tuple[Candidates, Progress | None]:
    """The 2 * W candidates of each unit, in the order in which they become beams."""
    size = 2 * search.beam // search.groups
    if beams.progress is not None and constraints is not None:
        remaining = beams.limit - beams.prefix.shape[2] - 1
        return allocate_beam(
            beams.log_prob, log_probs, size, constraints=constraints, progress=beams.progress,
            limit=beams.limit, remaining=remaining, eos=search.eos,
        )  # fmt: skip
    if search.groups == 1:
        return expand(beams.log_prob, log_probs, size), None
    chosen = expand_groups(
        beams.log_prob, log_probs, size, groups=search.groups, diversity=search.diversity, eos=search.eos
    )
    return chosen, None


def finish(
    finished: NBestLists,
    owner: Int[Tensor, " U"],
    score: Float[Tensor, "U C"],
    node: Int[Tensor, "U C"],
    ends: Bool[Tensor, "U C"],
) -> None:
    """Offer the candidates that end and are in the better half, the best W of 2 * W.

    An end in the worse half would have no place in the beam either: offering it would favour short output the more, the
    larger W is.
    """
    num_beams = score.shape[1] // 2
    score = score.masked_fill(~ends, -torch.inf)
    finished.offer(owner, score[:, :num_beams], node[:, :num_beams])


def advance(
    beams: Beams,
    candidates: Candidates,
    nodes: Int[Tensor, "U C"],
    ends: Bool[Tensor, "U C"],
    progress: Progress | None,
) -> tuple[Beams, Int[Tensor, "U W"]]:
    """The first half of the candidates that do not end as new beams, and the rows that they continue."""
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
        progress=progress and progress.pick(places),
        coverage=beams.coverage and beams.coverage.follow(best.beam),
    )
    return following, beams.rows.gather(1, best.beam)


def can_improve(beams: Beams, finished: NBestLists, penalty: Float[Tensor, " L"], enough: float) -> Bool[Tensor, " U"]:
    """Which units are below their maximum length, can still improve their n-best list, and have too few ended
    hypotheses or an open one that is ahead of them."""
    bound = beams.log_prob.amax(dim=1) / penalty[beams.limit]
    worst = finished.score[beams.owner, -1]
    going = (bound > worst) & (beams.limit > beams.prefix.shape[2])
    if enough == math.inf:
        return going
    leading = beams.scores(penalty, beams.prefix.shape[2]).amax(dim=1) > finished.score[beams.owner, 0]
    return going & ((finished.offered[beams.owner] < enough) | leading)


def offer_unfinished(
    unfinished: NBestLists,
    finished: NBestLists,
    *,
    before: Beams,
    beams: Beams,
    going: Bool[Tensor, " U"],
    penalty: Float[Tensor, " L"],
) -> None:
    """Offer the open hypotheses of the units that leave.

    When the rules leave a unit without open and finished hypotheses, those from `before` the step are offered.
    """
    length = beams.prefix.shape[2]
    if not going.all():
        score = beams.scores(penalty, length).masked_fill(going[:, None], -torch.inf)
        unfinished.offer(beams.owner, score, beams.node)
    empty = (beams.log_prob.amax(dim=1) == -torch.inf) & (finished.score[beams.owner, 0] == -torch.inf)
    if empty.any():
        score = before.scores(penalty, length - 1).masked_fill(~empty[:, None], -torch.inf)
        unfinished.offer(before.owner, score, before.node)


def results(trellis: Trellis, finished: NBestLists, unfinished: NBestLists, search: Search) -> list[list[Hypothesis]]:
    """The n-best lists: finished hypotheses, then unfinished ones where places are left."""
    lists = [
        [(*entry, True) for entry in done] + [(*entry, False) for entry in cut]
        for done, cut in zip(finished.entries(), unfinished.entries(), strict=True)
    ]
    if search.groups > 1:
        nodes = sorted({node for entries in lists for _, node, _ in entries})
        paths = {node: path[0] for node, path in zip(nodes, trellis.paths(nodes), strict=True)}
        by_sentence = [lists[i : i + search.groups] for i in range(0, len(lists), search.groups)]
        lists = [different(ranked, paths, search.nbest) for ranked in by_sentence]
    lists = [entries[: search.nbest] for entries in lists]
    found = iter(trellis.paths([node for entries in lists for _, node, _ in entries]))

    def hypothesis(score: float, done: bool) -> Hypothesis:
        tokens, logs, log_prob = next(found)
        tokens = tokens[:-1] if done else tokens  # without eos
        return Hypothesis(tokens=tokens, score=score, log_prob=log_prob, token_log_probs=logs, finished=done)

    return [[hypothesis(score, done) for score, _, done in entries] for entries in lists]
