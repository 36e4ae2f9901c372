"""From the words of a glossary to tokens of the target vocabulary, as lexical constraints and bans of a search."""

from collections.abc import Sequence
from functools import cached_property, lru_cache

import torch
from jaxtyping import Bool
from torch import Tensor

from mt.decode.constraints.glossary import Constraints, Entry
from mt.decode.search.lexical import LONGEST, Form, LexicalConstraints
from mt.decode.search.rules import FORBIDDEN, LogProbs, Owner, Prefix
from mt.errors import DataError
from mt.text.tokenizer import WORD_START, Tokenizer
from mt.text.words import is_word, occurs, stands_alone

MOST_KNOWN = 10_000  # terms


class Vocabulary:
    """The target pieces of a tokenizer, and which of them begin and end words."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        # Search asks for the same terms again and again, but the requests to a server for others without end.
        self._forms = lru_cache(MOST_KNOWN)(self._tokenized)
        self.beginning_with = lru_cache(MOST_KNOWN)(self._beginning_with)

    @cached_property
    def pieces(self) -> list[str]:
        """The text of every token, with "▁" for a space."""
        return self.tokenizer.pieces_target(range(self.tokenizer.tgt_size))

    @cached_property
    def opens_word(self) -> Bool[Tensor, " V"]:
        """Whether this token ends the word before it. False for bytes, which may be of a letter, and for unk."""
        t = self.tokenizer
        opens = [not self._is_special(number) and not is_word(piece[0]) for number, piece in enumerate(self.pieces)]
        opens[t.eos] = True
        return torch.tensor(opens)

    def _is_special(self, number: int) -> bool:
        t, piece = self.tokenizer, self.pieces[number]
        return number in (t.unk, t.bos, t.eos, t.pad) or not piece or is_byte(piece)

    def normal(self, term: str) -> str:
        """The term in the tokenizer's normalisation, in which nothing may be left of invisible characters."""
        return self.tokenizer.decode_target(self.tokenizer.encode_target([term])[0]).strip()

    def has(self, entry: Entry, text: str) -> bool:
        """Whether a translation has one of the forms of an entry, as whole words."""
        return any(occurs(term, text) for term in map(self.normal, entry.targets) if term)

    def satisfied(self, constraints: Constraints, text: str) -> bool:
        """Whether a translation has all that it must, and nothing that it must not."""
        return all(self.has(e, text) for e in constraints.required) and not any(
            self.has(e, text) for e in constraints.banned
        )

    def forms(self, entry: Entry) -> list[Form]:
        """The tokens of each form of a target term.

        Raises: DataError: for a term that is too long, or has characters outside of the vocabulary.
        """
        found: list[Form] = []
        for target in entry.targets:
            forms = self._forms(target)
            if isinstance(forms, str):
                message = f"{entry.where}: the target term `{target}` {forms}."
                raise DataError(message, hint="take it out of the glossary.")
            found += forms
        return found

    def _tokenized(self, target: str) -> list[Form] | str:
        """The forms of a target term, or what is wrong with it."""
        ids = self.tokenizer.encode_target([target])[0]
        if self.tokenizer.unk in ids or not ids:
            return "has characters that the model's vocabulary cannot spell"
        if len(ids) > LONGEST:
            return f"has {len(ids)} tokens, more than {LONGEST}"
        open_ended, begins_anywhere = not is_word(target[-1:]), not is_word(target[:1])
        inner = self._without_space(ids) if begins_anywhere else None
        return [Form(tuple(one), open_ended) for one in (ids, inner) if one]

    def _without_space(self, ids: list[int]) -> list[int] | None:
        """The same tokens without a space before them; None when the vocabulary has no such piece."""
        first = self.pieces[ids[0]].removeprefix(WORD_START)
        if not first:
            return ids[1:]
        return [self.pieces.index(first), *ids[1:]] if first in self.pieces else None

    def required(self, constraints: Sequence[Constraints], device: torch.device) -> LexicalConstraints | None:
        """The required terms of a batch; None: there are none."""
        required = [[self.forms(entry) for entry in one.required] for one in constraints]
        return LexicalConstraints(required, opens_word=self.opens_word, device=device) if any(required) else None

    def ban(self, constraints: Sequence[Constraints]) -> "BanWords":
        """The rule that forbids the banned terms of a batch."""
        banned = [[self.normal(form) for entry in one.banned for form in entry.targets] for one in constraints]
        return BanWords([[term for term in terms if term] for terms in banned], self)

    @cached_property
    def may_end_word(self) -> Bool[Tensor, " V"]:
        """As `opens_word`, but True for bytes and unk: they could be punctuation."""
        special = [self._is_special(number) for number in range(len(self.pieces))]
        return self.opens_word | torch.tensor(special)

    def _beginning_with(self, start: str) -> list[int]:
        """The tokens whose text begins with `start`."""
        mark = start.replace(" ", WORD_START)
        return [
            number
            for number, piece in enumerate(self.pieces)
            if piece.removeprefix(WORD_START if mark[0] != WORD_START else "").startswith(mark)
        ]

    def text(self, ids: list[int]) -> str:
        """The text of tokens, with the space before the first one."""
        pieces = [self.pieces[i] for i in ids]
        if any(map(is_byte, pieces)):
            return self.tokenizer.decode_target(ids)
        return "".join(pieces).replace(WORD_START, " ")


class BanWords:
    """The words `banned[i]` never appear in the translation of sentence i of the call.

    Nothing is forbidden while a word is written, since "cat" may become "catalog". When the text ends in a banned word,
    tokens that would end the word are forbidden, and so is eos. Beams that began the word itself soon lose to others.
    When a word ends at once (its last character is punctuation, or of a script without spaces), the token that
    completes it is forbidden.

    The rule compares text, not tokens, since a word has many tokenizations. A translation that is cut at its maximum
    length may end in a banned word.
    """

    def __init__(self, banned: Sequence[Sequence[str]], vocabulary: "Vocabulary") -> None:
        self.banned = banned
        self.vocabulary = vocabulary
        # tokens to decode: a character takes up to four, and one more character shows whether a word begins
        self.reach = 4 * (max((len(term) for terms in banned for term in terms), default=0) + 2)

    def __call__(self, prefix: Prefix, log_probs: LogProbs, owner: Owner) -> LogProbs:
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
        """The tokens that complete the term."""
        begun = [n for n in range(len(term)) if n == 0 or ends_in(text, term[:n])]
        return [token for n in begun for token in self.vocabulary.beginning_with(term[n:])]


def ends_in(text: str, term: str) -> bool:
    """Whether a text ends in a term that begins at the start of a word."""
    return text.endswith(term) and stands_alone(text, len(text) - len(term), len(text))


def is_byte(piece: str) -> bool:
    """Whether a piece is one byte of a character that the vocabulary lacks: "<0xE4>"."""
    return len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
