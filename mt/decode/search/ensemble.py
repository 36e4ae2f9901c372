"""An ensemble of models as one `Stepper`."""

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
    """The mean over members."""

    probabilities = "probabilities"  # log((p1 + .. + pn) / n): one confident member is enough for a token
    log_probs = "log_probs"  # (log p1 + .. + log pn) / n, not renormalised: every member has a veto


class Ensemble:
    """Steppers on one device that share a target vocabulary.

    Raises `ConfigError` when there is no member, and at the first step when the vocabularies differ in size.
    """

    def __init__(self, members: Sequence[Stepper], *, mean: Mean = Mean.probabilities) -> None:
        require(len(members) > 0, "ensemble.members", "name at least one model", len(members))
        self.members = list(members)
        self.mean = mean
        self._attention: list[AttentionStepper] = []  # the members, after `keep_weights`

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
        log_probs = [member.step(tokens) for member in self.members]
        sizes = {one.shape[1] for one in log_probs}
        if len(sizes) > 1:
            raise ConfigError(
                f"the models of an ensemble must share one target vocabulary, but theirs have {sorted(sizes)} tokens."
            )
        return join(log_probs, self.mean)

    def reorder(self, rows: Int[Tensor, " R2"], sentences: Int[Tensor, " B2"] | None = None) -> None:
        for member in self.members:
            member.reorder(rows, sentences)

    def keep_weights(self) -> None:
        """Raises: ConfigError: when a member has no attention weights."""
        self._attention = [member for member in self.members if isinstance(member, AttentionStepper)]
        if len(self._attention) < len(self.members):
            raise ConfigError("all models of an ensemble must give their attention weights.")
        for member in self._attention:
            member.keep_weights()

    def weights(self) -> Float[Tensor, "R S"]:
        """The mean of the members."""
        return torch.stack([member.weights() for member in self._attention]).mean(0)


def join(log_probs: Sequence[Float[Tensor, "R V"]], mean: Mean) -> Float[Tensor, "R V"]:
    """The mean of the members' log-probabilities, which are overwritten."""
    first, *others = log_probs
    if not others:
        return first
    if mean is Mean.log_probs:
        for other in others:
            first += other
        return first.div_(len(log_probs))
    # Not `logaddexp`: its vectorised results depend on their place in a tensor, so a translation on its batch.
    least = first.clone()  # of the greatest member alone, for probabilities too small for 32 bits
    for other in others:
        torch.maximum(least, other, out=least)
    first.exp_()
    for other in others:
        first += other.exp_()
    count = len(log_probs)
    return torch.maximum(first.div_(count).log_(), least.sub_(math.log(count)), out=first)
