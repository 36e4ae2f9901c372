"""Several models that search sees as one."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.decode.search.stepper import AttentionStepper, Stepper
from mt.errors import ConfigError, require
from mt.nn.source import Items


class Mean(StrEnum):
    """How the members' opinions are joined."""

    probabilities = "probabilities"  # log((p1 + .. + pn) / n): one sure member can carry a token
    log_probs = "log_probs"  # (log p1 + .. + log pn) / n, not renormalised: every member has a veto


class Ensemble:
    """A `Stepper` made of steppers on one device that share a target vocabulary.

    Raises `ConfigError` when there is no member, and at the first step when the vocabularies differ in size.
    """

    def __init__(self, members: Sequence[Stepper], *, mean: Mean = Mean.probabilities) -> None:
        require(len(members) > 0, "ensemble.members", "name at least one model", len(members))
        self.members = list(members)
        self.mean = mean
        self._keeping: list[AttentionStepper] = []  # the members, once they keep weights

    @property
    def device(self) -> torch.device:
        return self.members[0].device

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Every member is prepared, each in its own precision."""
        with ExitStack() as stack:
            for member in self.members:
                stack.enter_context(member.prepared())
            yield

    def start(self, source: Items) -> None:
        for member in self.members:
            member.start(source)

    def step(self, tokens: Int[Tensor, " R"]) -> Float[Tensor, "R V"]:
        opinions = [member.step(tokens) for member in self.members]
        sizes = {opinion.shape[1] for opinion in opinions}
        if len(sizes) > 1:
            raise ConfigError(
                f"The models of an ensemble must share one target vocabulary, but theirs have {sorted(sizes)} pieces."
            )
        return join(opinions, self.mean)

    def reorder(self, rows: Int[Tensor, " R2"], sentences: Int[Tensor, " B2"] | None = None) -> None:
        for member in self.members:
            member.reorder(rows, sentences)

    def keep_weights(self) -> None:
        """Raises: ConfigError: when a member does not give its attention weights."""
        self._keeping = [member for member in self.members if isinstance(member, AttentionStepper)]
        if len(self._keeping) < len(self.members):
            raise ConfigError("The models of an ensemble must all give their attention weights.")
        for member in self._keeping:
            member.keep_weights()

    def weights(self) -> Float[Tensor, "R S"]:
        """The mean of the members."""
        return torch.stack([member.weights() for member in self._keeping]).mean(0)


def join(opinions: Sequence[Float[Tensor, "R V"]], mean: Mean) -> Float[Tensor, "R V"]:
    """The mean of the members' log-probabilities, as `mean` says. Their memory is used up."""
    first, *others = opinions
    if not others:
        return first
    if mean is Mean.log_probs:
        for other in others:
            first += other
        return first.div_(len(opinions))
    # Not `logaddexp`, whose vectorised numbers depend on their place in a tensor: a translation would on its batch.
    least = first.clone()  # the likeliest member's alone: where all probabilities are too small for 32 bits
    for other in others:
        torch.maximum(least, other, out=least)
    first.exp_()
    for other in others:
        first += other.exp_()
    count = len(opinions)
    return torch.maximum(first.div_(count).log_(), least.sub_(math.log(count)), out=first)
