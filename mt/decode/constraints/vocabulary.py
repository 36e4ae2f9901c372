"""From the words of a glossary to pieces of the target vocabulary: what search can ask for and forbid."""

from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mt.decode.constraints.glossary import Demands, Entry
from mt.decode.search.lexical import LONGEST, Form, Terms
from mt.decode.search.rules import FORBIDDEN
from mt.errors import DataError
from mt.text.tokenizer import Tokenizer
from mt.text.words import is_word, occurs, stands_alone

WORD_START = "▁"


class Vocabulary:
    """The target pieces of a tokenizer, as words begin and end with them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._forms: dict[str, list[Form]] = {}  # by target term
        self._beginning: dict[str, list[int]] = {}

    @cached_property
    def pieces(self) -> list[str]:
        """The text of every piece, with "▁" for a space."""
        return self.tokenizer.pieces_target(range(self.tokenizer.tgt_size))

    @cached_property
    def opens_word(self) -> Bool[Tensor, " V"]:
        """Whether a word is over when this piece comes next. Not so for a byte, which may be of a letter, or unk."""
        t = self.tokenizer
        plain = [not self._is_special(number) and not is_word(piece[0]) for number, piece in enumerate(self.pieces)]
        plain[t.eos] = True
        return torch.tensor(plain)

    def _is_special(self, number: int) -> bool:
        t, piece = self.tokenizer, self.pieces[number]
        return number in (t.unk, t.bos, t.eos, t.pad) or not piece or is_byte(piece)

    def normal(self, term: str) -> str:
        """The term as the tokenizer spells it in translations."""
        return self.tokenizer.decode_target(self.tokenizer.encode_target([term])[0]).strip()

    def has(self, entry: Entry, text: str) -> bool:
        """Whether a translation has one of the forms of an entry, as whole words."""
        return any(occurs(self.normal(form), text) for form in entry.targets)

    def satisfied(self, demands: Demands, text: str) -> bool:
        """Whether a translation has all that it must, and nothing that it must not."""
        return all(self.has(e, text) for e in demands.required) and not any(self.has(e, text) for e in demands.banned)

    def forms(self, entry: Entry) -> list[Form]:
        """The pieces of each form of a target term.

        Raises: DataError: when the vocabulary cannot spell it, or it is too long.
        """
        return [form for target in entry.targets for form in self._spelt(target, entry.where)]

    def _spelt(self, target: str, where: str) -> list[Form]:
        if target not in self._forms:
            pieces = self.tokenizer.encode_target([target])[0]
            if self.tokenizer.unk in pieces or not 0 < len(pieces) <= LONGEST:
                fault = f"takes {len(pieces)} pieces, more than {LONGEST}"
                if self.tokenizer.unk in pieces or not pieces:
                    fault = "has characters that the model's vocabulary cannot spell"
                raise DataError(f"{where}: the target term `{target}` {fault}; take it out of the glossary.")
            spaceless = target[-1:], target[:1]
            open_ended, begins_anywhere = (not is_word(character) for character in spaceless)
            forms = [Form(tuple(pieces), open_ended)]
            inner = self._without_space(pieces) if begins_anywhere else None
            self._forms[target] = [*forms, Form(tuple(inner), open_ended)] if inner else forms
        return self._forms[target]

    def _without_space(self, pieces: list[int]) -> list[int] | None:
        """The same pieces where no space comes before; None where the vocabulary has no such piece."""
        first = self.pieces[pieces[0]].removeprefix(WORD_START)
        if not first:
            return pieces[1:]
        return [self.pieces.index(first), *pieces[1:]] if first in self.pieces else None

    def terms(self, demands: Sequence[Demands], device: torch.device) -> Terms | None:
        """What must appear in the translations of a batch; None: nothing."""
        required = [[self.forms(entry) for entry in one.required] for one in demands]
        return Terms(required, opens_word=self.opens_word, device=device) if any(required) else None

    def ban(self, demands: Sequence[Demands]) -> "BanWords":
        """The rule that keeps a batch from what must not appear."""
        banned = [[self.normal(form) for entry in one.banned for form in entry.targets] for one in demands]
        return BanWords(banned, self)

    @cached_property
    def may_end_word(self) -> Bool[Tensor, " V"]:
        """Like `opens_word`, but bytes and unk count: they could be punctuation."""
        special = [self._is_special(number) for number in range(len(self.pieces))]
        return self.opens_word | torch.tensor(special)

    def beginning_with(self, start: str) -> list[int]:
        """The pieces whose text begins so."""
        if start not in self._beginning:
            mark = start.replace(" ", WORD_START)
            self._beginning[start] = [
                number
                for number, piece in enumerate(self.pieces)
                if piece.removeprefix(WORD_START if mark[0] != WORD_START else "").startswith(mark)
            ]
        return self._beginning[start]

    def text(self, ids: list[int]) -> str:
        """What pieces spell so far, a space before it where the first has one."""
        pieces = [self.pieces[i] for i in ids]
        if any(map(is_byte, pieces)):
            return self.tokenizer.decode_target(ids)
        return "".join(pieces).replace(WORD_START, " ")


class BanWords:
    """Certain words never appear: `banned[i]` in the translation of sentence i of the call.

    A word is whole only when it is clear that it goes no further. So nothing is forbidden while it is written, for
    "cat" may become "catalog"; when it stands there, it must go on: the pieces that would end it are forbidden, and so
    is the end of the sentence. Beams that have begun it on its own soon lose to others. Where nothing could go on with
    a word (its last character is a sign, or of a script without spaces) the piece that completes it is forbidden.

    The rule reads text, not pieces, for one word can be written with many pieces. A translation that is cut at its
    maximum length may break off at a banned word.
    """

    def __init__(self, banned: Sequence[Sequence[str]], vocabulary: "Vocabulary") -> None:
        self.banned = banned
        self.vocabulary = vocabulary
        # how far back to look: a character takes up to four pieces, and one more shows whether a word begins
        self.reach = 4 * (max((len(term) for terms in banned for term in terms), default=0) + 2)

    def __call__(
        self, prefix: Int[Tensor, "R T"], log_probs: Float[Tensor, "R V"], owner: Int[Tensor, " R"]
    ) -> Float[Tensor, "R V"]:
        tails = prefix[:, -self.reach :].tolist()
        for row, place in enumerate(owner.tolist()):
            terms = self.banned[int(place)]
            text = self.vocabulary.text(tails[row]) if terms else ""
            for term in terms:
                if not is_word(term[-1]):
                    log_probs[row, self._completing(text, term)] = FORBIDDEN
                elif ends_in(text, term):
                    log_probs[row].masked_fill_(self.vocabulary.may_end_word.to(log_probs.device), FORBIDDEN)
        return log_probs

    def _completing(self, text: str, term: str) -> list[int]:
        """The pieces with which the text would have the whole term."""
        begun = [n for n in range(len(term)) if n == 0 or ends_in(text, term[:n])]
        return [piece for n in begun for piece in self.vocabulary.beginning_with(term[n:])]


def ends_in(text: str, term: str) -> bool:
    """Whether a text ends in a term, which begins at a word's start there."""
    return text.endswith(term) and stands_alone(text, len(text) - len(term), len(text))


def is_byte(piece: str) -> bool:
    """Whether a piece is one byte of a character that the vocabulary lacks: "<0xE4>"."""
    return len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
