"""Sampling: translations drawn from the model.

Every draw is the inverse of a cumulative sum: one uniform number chooses one token. The Gumbel trick gives the same
distribution with a number for each of the V tokens. The uniform number of a draw is a hash of (seed, sentence, sample,
position) and nothing else: the samples of a sentence do not depend on its batch or on the number of samples, as long as
the stepper's rows do not either.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mt.compute import ties
from mt.decode.request import Sampling
from mt.decode.search.candidates import best_tokens
from mt.decode.search.greedy import Transcript, staying
from mt.decode.search.rules import Rule, apply_rules
from mt.decode.search.settings import Hypothesis, Search
from mt.decode.search.stepper import Stepper
from mt.nn.source import Items

LEAVING_SHARE = 0.25  # of the rows: ended rows are removed when they are as many
UNIFORM_BITS = 48  # 53 would fit a double; with fewer, u * total is less than the total after rounding, too


@torch.inference_mode()
def sample_search(
    stepper: Stepper,
    source: Items,
    *,
    search: Search,
    sampling: Sampling,
    rules: Sequence[Rule] = (),
    numbers: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """`sampling.samples` translations of each source sentence, in the order they were drawn, equal ones included.

    Lengths and scores are those of `search`, whose `beam` and `nbest` are ignored; log-probabilities are the model's
    own, before temperature and cut-offs.

    Args: numbers: identify the sentences for the random numbers, as numbers of the whole text do when it is cut into
    batches; None: the places in `source`.
    """
    if not source:
        return []
    limits = search.max_lengths(source)
    rules = (search.never(), *rules)
    rows = Rows(list(range(len(source)) if numbers is None else numbers), limits, sampling, stepper.device)
    transcript = Transcript(len(source) * sampling.samples, max(limits), stepper.device)
    stepper.start(source)
    token = torch.full((len(source),), search.bos, device=stepper.device)
    for place in range(max(limits)):
        log_probs = stepper.step(token)
        if place == 0:  # all samples of a sentence come from its first row
            first = torch.arange(len(source), device=stepper.device).repeat_interleave(sampling.samples)
            log_probs = log_probs[first]
            stepper.reorder(first)
        log_probs = apply_rules(rules, rows.prefix, log_probs, rows.sentence)
        token = draw(kept(log_probs, sampling), rows.uniform(place))
        token_log_prob = log_probs.gather(1, token[:, None]).squeeze(1)
        rows.is_open &= token_log_prob > -torch.inf
        transcript.write(place, rows.slot, token, token_log_prob, rows.is_open)
        transcript.finished[rows.slot] |= rows.is_open & (token == search.eos)
        rows.append(token, (token != search.eos) & (rows.limit > place + 1))
        if not rows.is_open.any():
            break
        token = rows.remove_ended(stepper)
    drawn = transcript.hypotheses(search)
    return [drawn[i : i + sampling.samples] for i in range(0, len(drawn), sampling.samples)]


class Rows:
    """The samples in progress: those of a sentence side by side, equally many of each."""

    def __init__(self, numbers: list[int], limits: list[int], sampling: Sampling, device: torch.device) -> None:
        self.width = sampling.samples
        self.slot = torch.arange(len(numbers) * self.width, device=device)  # sentence * samples + sample
        self.sentence = self.slot // self.width  # the place in the call
        self.limit = torch.tensor(limits, device=device)[self.sentence]
        sample = self.slot % self.width
        keys = mixed(torch.tensor(sampling.seed, device=device), torch.tensor(numbers, device=device))
        self.key = mixed(keys[self.sentence], sample)
        self.is_open = torch.ones_like(self.slot, dtype=torch.bool)
        self.prefix = self.slot[:, None][:, :0]

    def uniform(self, place: int) -> Float[Tensor, " R"]:
        """One number in [0, 1) for each row at this position."""
        bits = (mixed(self.key, torch.tensor(place)) >> (64 - UNIFORM_BITS)) & ((1 << UNIFORM_BITS) - 1)
        return for_doubles(bits).double() / (1 << UNIFORM_BITS)

    def append(self, token: Int[Tensor, " R"], goes_on: Bool[Tensor, " R"]) -> None:
        self.prefix = torch.cat([self.prefix, token[:, None]], dim=1)
        self.is_open &= goes_on

    def remove_ended(self, stepper: Stepper) -> Int[Tensor, " R2"]:
        """Remove rows that have ended, once they are `LEAVING_SHARE`. Returns: the last tokens of the remaining rows.

        Sentences without open samples leave. Every other sentence keeps as many rows as the one with most open samples
        has: its open ones, and ended ones to fill up.
        """
        is_open = self.is_open.view(-1, self.width)
        num_open = is_open.sum(dim=1)
        stay = staying(num_open > 0)
        width = int(num_open.max())
        if len(stay) * width <= len(self.slot) * (1 - LEAVING_SHARE):
            columns = (~is_open[stay]).int().argsort(dim=1, stable=True)[:, :width]  # [B2, W] -> [B2, W2]
            rows = (stay[:, None] * self.width + columns).flatten()
            stepper.reorder(rows, stay if len(stay) < len(is_open) else None)
            self.width = width
            self.slot, self.sentence, self.limit = self.slot[rows], self.sentence[rows], self.limit[rows]
            self.key, self.is_open, self.prefix = self.key[rows], self.is_open[rows], self.prefix[rows]
        return self.prefix[:, -1]


def kept(log_probs: Float[Tensor, "R V"], sampling: Sampling) -> Float[Tensor, "R V"]:
    """Tempered probabilities, zero where a cut-off drops the token; rows need not sum to one.

    Of equally likely tokens the lower id comes first. Sums that miss `top_p`, and probabilities that miss `epsilon`, by
    rounding only are sufficient (`mt.compute.ties`). A row of minus infinities becomes zeros.
    """
    logits = log_probs if sampling.temperature == 1 else log_probs / sampling.temperature
    probabilities = logits.softmax(-1).nan_to_num_(0.0)
    if not sampling.cuts:
        return probabilities
    keep = torch.ones_like(probabilities, dtype=torch.bool)
    if sampling.epsilon:
        likeliest = probabilities.amax(dim=1, keepdim=True)
        keep &= (probabilities >= sampling.epsilon * (1 - ties.FLOAT32)) | (probabilities == likeliest)
    if 0 < sampling.top_k < probabilities.shape[1]:
        _, ids = best_tokens(probabilities, sampling.top_k)
        keep &= torch.zeros_like(keep).scatter_(1, ids, value=True)
    if sampling.top_p < 1:
        ranked, ids = probabilities.sort(dim=1, descending=True, stable=True)
        before = ranked.cumsum(dim=1) - ranked  # the sum of the likelier tokens
        keep &= torch.zeros_like(keep).scatter_(1, ids, before < sampling.top_p * (1 - ties.FLOAT32))
    return probabilities.mul_(keep)


def draw(probabilities: Float[Tensor, "R V"], uniform: Float[Tensor, " R"]) -> Int[Tensor, " R"]:
    """For each row the first token at which the cumulative sum passes `uniform` times the row's sum.

    The token never has probability zero, unless the whole row has. Sums are in 64 bits: in 32, rare tokens late in the
    vocabulary are never drawn (of probability 3e-8, for example).
    """
    place = probabilities.device
    wide = for_doubles(probabilities)
    sums = wide.cumsum(dim=1, dtype=torch.float64)
    wanted = uniform.to(wide.device)[:, None] * sums[:, -1:]
    found = torch.searchsorted(sums, wanted, right=True).squeeze(1)
    return found.clamp_(max=probabilities.shape[1] - 1).to(place)


def for_doubles(values: Tensor) -> Tensor:
    """The values on a device that has 64-bit floats, which MPS has not."""
    return values.cpu() if values.device.type == "mps" else values


def mixed(key: Int[Tensor, "*N"], number: Int[Tensor, "*M"]) -> Int[Tensor, "..."]:
    """A hash of key and number: the next output of SplitMix64 (Steele et al. 2014, doi:10.1145/2660193.2660195) in the
    state `key + number * golden`, in 64-bit integers that wrap around."""
    z = key + (number + 1) * -0x61C8864680B583EB  # 0x9E3779B97F4A7C15, the golden ratio, as a signed integer
    z = (z ^ shifted(z, 30)) * -0x40A7B892E31B1A47  # 0xBF58476D1CE4E5B9
    z = (z ^ shifted(z, 27)) * -0x6B2FB644ECCEEE15  # 0x94D049BB133111EB
    return z ^ shifted(z, 31)


def shifted(z: Int[Tensor, "..."], places: int) -> Int[Tensor, "..."]:
    """`z >> places` with zeros coming in: torch repeats the sign."""
    return (z >> places) & ((1 << (64 - places)) - 1)
