"""Lexical constraints: terms that a translation must contain, and the progress of each hypothesis with them.

A term is a word or several words. It has forms, each a sequence of tokens that begins at the start of a word. A form is
*written* when its tokens stand in a row; the term is *met* when also the word has ended: the next token begins another
word or is punctuation, or the sentence ends. So "cat" is not met by "catalog".

Progress is kept by the Shift-And method (Baeza-Yates & Gonnet 1992): bit j of a form's integer is set when its first
j + 1 tokens are the last j + 1 of the hypothesis. Each token takes one shift and one mask, whatever overlaps.

    form  = [a b a c]    hypothesis  a b a      bits = 0101: "a b a" and "a" can both continue

**What is left** of a hypothesis is a sufficient number of tokens: the shortest forms of all unmet terms, less what is
written of one of them. It is 0 only when the sentence may end, and from every hypothesis the next token of some form
leads to one with less left. So a search that drops hypotheses with more left than the maximum length allows always ends
with every term, if they fit at all.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mt.errors import require

LONGEST = 62  # tokens of a form: the bits of an integer, less the sign
NONE = -1  # no token


class Form(NamedTuple):
    """One way to write a term. `open_ended`: the word ends there, whatever follows (its script has no spaces)."""

    tokens: tuple[int, ...]
    open_ended: bool = False


Required = Sequence[Sequence[Form]]  # the terms of one sentence, each with its forms


@dataclass(slots=True)
class Progress:
    """The progress of N hypotheses of each sentence, with K terms of A forms."""

    bits: Int[Tensor, "B N K A"]
    met: Bool[Tensor, "B N K"]

    def pick(self, places: Int[Tensor, "B N2"]) -> "Progress":
        """The progress of the hypotheses at these places."""
        sentence = torch.arange(len(places), device=places.device)[:, None]
        return Progress(self.bits[sentence, places], self.met[sentence, places])


class LexicalConstraints:
    """The terms of the sentences of a batch, as tables.

    Raises `ConfigError` for a form without tokens, or with more than 62.
    """

    def __init__(
        self, required: Sequence[Required], *, opens_word: Bool[Tensor, " V"], device: torch.device | None = None
    ) -> None:
        """Args: opens_word: of each token, whether it ends the word before it; True for eos."""
        forms = [form.tokens for terms in required for term in terms for form in term]
        for tokens in forms:
            require(0 < len(tokens) <= LONGEST, "glossary", f"ask for terms of 1 to {LONGEST} tokens", len(tokens))
        sizes = (
            len(required),
            max([1, *map(len, required)]),
            max([1, *(len(term) for terms in required for term in terms)]),
            max([1, *map(len, forms)]),
        )
        tokens = torch.full(sizes, NONE)
        open_ended = torch.zeros(sizes[:3], dtype=torch.bool)
        for b, terms in enumerate(required):
            for k, term in enumerate(terms):
                for a, form in enumerate(term):
                    tokens[b, k, a, : len(form.tokens)] = torch.tensor(form.tokens)
                    open_ended[b, k, a] = form.open_ended
        self.tokens = tokens.to(device)  # [B, K, A, P]
        self.length = (self.tokens != NONE).sum(3)  # [B, K, A]; 0: no such form
        self.open_ended = open_ended.to(device)
        self.opens_word = opens_word.to(device)
        shortest = self.length.masked_fill(self.length == 0, LONGEST + 1).amin(2)
        self.shortest = shortest * (shortest <= LONGEST)  # [B, K]; 0: no such term

    def select(self, stay: Int[Tensor, " B2"]) -> "LexicalConstraints":
        """The tables of the sentences that stay."""
        chosen = copy(self)
        for name in ("tokens", "length", "open_ended", "shortest"):
            setattr(chosen, name, getattr(self, name)[stay])
        return chosen

    def start(self) -> Progress:
        """The progress of one empty hypothesis for each sentence; missing terms of the table count as met."""
        bits = torch.zeros_like(self.length)[:, None]
        return Progress(bits, (self.shortest == 0)[:, None])

    def follow(self, progress: Progress, token: Int[Tensor, "B N"]) -> Progress:
        """The progress of the hypotheses after one more token."""
        over = self.opens_word[token][:, :, None]
        met = progress.met | (over & self.written(progress).any(3))
        places = torch.arange(self.tokens.shape[3], device=token.device)
        fits = ((self.tokens[:, None] == token[:, :, None, None, None]).long() << places).sum(4)  # [B, N, K, A]
        after = Progress((progress.bits << 1 | 1) & fits, met)
        after.met = met | (self.written(after) & self.open_ended[:, None]).any(3)
        return after

    def written(self, progress: Progress) -> Bool[Tensor, "B N K A"]:
        """The forms that are written at the end of the hypothesis."""
        last = (self.length[:, None] - 1).clamp(min=0)
        return (progress.bits >> last & 1).bool() & (self.length[:, None] > 0)

    def may_end(self, progress: Progress) -> Bool[Tensor, "B N"]:
        """Whether every term would be met if the sentence ended here."""
        return (progress.met | self.written(progress).any(3)).all(2)

    def left(self, progress: Progress) -> Int[Tensor, "B N"]:
        """The number of tokens left, without eos; see the module docstring."""
        missing = self.length[:, None] - self.begun(progress)
        missing = missing.masked_fill(self.length[:, None] == 0, LONGEST + 1).amin(3)  # [B, N, K], by the best form
        shortest = self.shortest[:, None] * ~progress.met
        gain = (self.shortest[:, None] - missing).clamp(min=0) * ~progress.met
        return (shortest.sum(2) - gain.amax(2)).masked_fill(self.may_end(progress), 0)

    def begun(self, progress: Progress) -> Int[Tensor, "B N K A"]:
        """The greatest number of first tokens of each form that end the hypothesis."""
        numbers = torch.arange(1, self.tokens.shape[3] + 1, device=progress.bits.device)
        return ((progress.bits[..., None] >> (numbers - 1) & 1) * numbers).amax(4)

    def wanted(self, progress: Progress) -> Int[Tensor, "B N C"]:
        """The tokens that begin or continue a form of an unmet term, without duplicates, then -1."""
        begun = self.begun(progress)
        length = self.length[:, None]
        goes_on = ~progress.met[..., None] & (length > 0)
        table = self.tokens[:, None].expand(*begun.shape, -1)
        following = table.gather(4, begun.clamp(max=table.shape[4] - 1)[..., None])[..., 0]
        following = following.masked_fill(~goes_on | (begun >= length), NONE)
        first = table[..., 0].masked_fill(~goes_on, NONE)
        tokens = torch.cat([following.flatten(2), first.flatten(2)], dim=2).sort(dim=2, descending=True).values
        again = torch.zeros_like(tokens, dtype=torch.bool)
        again[:, :, 1:] = tokens[:, :, 1:] == tokens[:, :, :-1]
        return tokens.masked_fill(again, NONE)
