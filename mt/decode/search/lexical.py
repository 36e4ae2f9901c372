"""Terms that a translation must contain, and how far each hypothesis has come with them.

A term is a whole word, or several. It has forms, each a sequence of pieces that begins at a word's start; a form is
*written* when its pieces stand side by side, and the term is *met* when it is also clear that the word is over: the
next piece begins another word, or is punctuation, or the sentence ends. So "cat" is not met by "catalog".

Progress is kept by the Shift-And method (Baeza-Yates & Gonnet 1992): bit j of a form's integer is set when its first
j + 1 pieces are the last j + 1 of the hypothesis. One shift and one mask follow every piece, whatever overlaps.

    form  = [a b a c]    hypothesis  a b a      bits = 0101: "a b a" and "a" could both be going on

**What is left** of a hypothesis is a number of pieces that is sure to do: the shortest forms of all unmet terms, less
what is there of one of them already. It is never less than 0, is 0 only when the sentence may end, and from every
hypothesis the next piece of some form leads to one with less left. That is why a search that drops hypotheses with more
left than there is room for always ends with every term, if they fit at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mt.errors import require

LONGEST = 62  # pieces in a form: the bits of an integer, less the sign
NONE = -1  # where there is no piece


class Form(NamedTuple):
    """One way to write a term. `open_ended`: whatever follows, the word is over (its script has no spaces)."""

    pieces: tuple[int, ...]
    open_ended: bool = False


Required = Sequence[Sequence[Form]]  # the terms of one sentence, each with its forms


@dataclass(slots=True)
class Progress:
    """How far hypotheses have come: N of them for each sentence, with K terms of A forms."""

    bits: Int[Tensor, "B N K A"]
    met: Bool[Tensor, "B N K"]

    def pick(self, places: Int[Tensor, "B N2"]) -> "Progress":
        """The progress of the hypotheses at these places."""
        sentence = torch.arange(len(places), device=places.device)[:, None]
        return Progress(self.bits[sentence, places], self.met[sentence, places])


class Terms:
    """What the sentences of a batch must contain, as tables.

    Raises `ConfigError` for a form without pieces, or with more than 62.
    """

    def __init__(
        self, required: Sequence[Required], *, opens_word: Bool[Tensor, " V"], device: torch.device | None = None
    ) -> None:
        """Args: opens_word: whether a word is over when this piece comes next; True for the end mark."""
        forms = [form.pieces for terms in required for term in terms for form in term]
        for pieces in forms:
            require(0 < len(pieces) <= LONGEST, "glossary", f"ask for terms of 1 to {LONGEST} pieces", len(pieces))
        sizes = (
            len(required),
            max([1, *map(len, required)]),
            max([1, *(len(term) for terms in required for term in terms)]),
            max([1, *map(len, forms)]),
        )
        pieces = torch.full(sizes, NONE)
        open_ended = torch.zeros(sizes[:3], dtype=torch.bool)
        for b, terms in enumerate(required):
            for k, term in enumerate(terms):
                for a, form in enumerate(term):
                    pieces[b, k, a, : len(form.pieces)] = torch.tensor(form.pieces)
                    open_ended[b, k, a] = form.open_ended
        self.sentences = torch.arange(len(required), device=device)  # the places in the call of those still there
        self.pieces = pieces.to(device)  # [B, K, A, P]
        self.length = (self.pieces != NONE).sum(3)  # [B, K, A]; 0: no such form
        self.open_ended = open_ended.to(device)
        self.opens_word = opens_word.to(device)
        self.shortest = (
            self.length.masked_fill(self.length == 0, LONGEST + 1).amin(2) if sizes[2] else self.length.sum(2)
        )
        self.shortest = self.shortest * (self.shortest <= LONGEST)  # [B, K]; 0: no such term

    def select(self, stay: Int[Tensor, " B2"]) -> "Terms":
        """The tables of the sentences that stay."""
        chosen = object.__new__(Terms)
        for name in ("sentences", "pieces", "length", "open_ended", "shortest"):
            setattr(chosen, name, getattr(self, name)[stay])
        chosen.opens_word = self.opens_word
        return chosen

    def start(self) -> Progress:
        """The progress of one empty hypothesis for each sentence: a term that is not there is met."""
        bits = torch.zeros_like(self.length)[:, None]
        return Progress(bits, (self.shortest == 0)[:, None])

    def follow(self, progress: Progress, token: Int[Tensor, "B N"]) -> Progress:
        """The progress of the same hypotheses with one more piece each."""
        over = self.opens_word[token][:, :, None]
        met = progress.met | (over & self.written(progress).any(3))
        places = torch.arange(self.pieces.shape[3], device=token.device)
        fits = ((self.pieces[:, None] == token[:, :, None, None, None]).long() << places).sum(4)  # [B, N, K, A]
        after = Progress((progress.bits << 1 | 1) & fits, met)
        after.met = met | (self.written(after) & self.open_ended[:, None]).any(3)
        return after

    def written(self, progress: Progress) -> Bool[Tensor, "B N K A"]:
        """Which forms end where the hypothesis ends."""
        last = (self.length[:, None] - 1).clamp(min=0)
        return (progress.bits >> last & 1).bool() & (self.length[:, None] > 0)

    def may_end(self, progress: Progress) -> Bool[Tensor, "B N"]:
        """Whether every term would be met if the sentence ended here."""
        return (progress.met | self.written(progress).any(3)).all(2)

    def left(self, progress: Progress) -> Int[Tensor, "B N"]:
        """See the head of the file: so many pieces, and the end mark, are sure to do."""
        missing = self.length[:, None] - self.begun(progress)
        missing = missing.masked_fill(self.length[:, None] == 0, LONGEST + 1).amin(3)  # [B, N, K], by the best form
        shortest = self.shortest[:, None] * ~progress.met
        gain = (self.shortest[:, None] - missing).clamp(min=0) * ~progress.met
        return (shortest.sum(2) - gain.amax(2)).masked_fill(self.may_end(progress), 0)

    def begun(self, progress: Progress) -> Int[Tensor, "B N K A"]:
        """The most pieces of each form that are the last ones of the hypothesis."""
        numbers = torch.arange(1, self.pieces.shape[3] + 1, device=progress.bits.device)
        return ((progress.bits[..., None] >> (numbers - 1) & 1) * numbers).amax(4)

    def wanted(self, progress: Progress) -> Int[Tensor, "B N C"]:
        """The pieces that begin or go on with a form of an unmet term, none twice, then -1."""
        begun = self.begun(progress)
        length = self.length[:, None]
        goes_on = ~progress.met[..., None] & (length > 0)
        table = self.pieces[:, None].expand(*begun.shape, -1)
        following = table.gather(4, begun.clamp(max=table.shape[4] - 1)[..., None])[..., 0]
        following = following.masked_fill(~goes_on | (begun >= length), NONE)
        first = table[..., 0].masked_fill(~goes_on, NONE)
        pieces = torch.cat([following.flatten(2), first.flatten(2)], dim=2).sort(dim=2, descending=True).values
        again = torch.zeros_like(pieces, dtype=torch.bool)
        again[:, :, 1:] = pieces[:, :, 1:] == pieces[:, :, :-1]
        return pieces.masked_fill(again, NONE)
