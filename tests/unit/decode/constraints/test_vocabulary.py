"""From words to pieces, on a vocabulary that can be counted on fingers."""

import pytest
import torch
from toy import number_tokenizer

from mt.decode.constraints.glossary import Constraints, Entry
from mt.decode.constraints.vocabulary import BanWords, Vocabulary, ends_in
from mt.decode.search.lexical import Form
from mt.errors import DataError
from mt.text.tokenizer import Tokenizer

PIECES = ["<unk>", "<s>", "</s>", "<pad>", "▁", "▁cat", "alog", ",", "▁c", "at", "猫", "▁猫", "++", "▁c++", "<0xE4>"]
EOS = 2


class FewPieces(Tokenizer):
    """The part of a tokenizer that is asked for, over `PIECES`: the longest piece first."""

    tgt_size = len(PIECES)

    def __init__(self):
        self.unk, self.bos, self.eos, self.pad = range(4)

    def pieces_target(self, ids):
        return [PIECES[i] for i in ids]

    def encode_target(self, texts):
        found = []
        for text in texts:
            rest, ids = "▁" + text.replace(" ", "▁") if text else "", []
            while rest:
                fitting = [i for i, piece in enumerate(PIECES) if i > 3 and rest.startswith(piece)]
                ids.append(max(fitting, key=lambda i: len(PIECES[i]), default=0))
                rest = rest[len(PIECES[ids[-1]]) if ids[-1] else 1 :]
            found.append(ids)
        return found

    def decode_target(self, ids):
        return "".join(PIECES[i] for i in ids).replace("▁", " ").strip()


@pytest.fixture
def vocabulary():
    return Vocabulary(FewPieces())


def ids(*pieces):
    return [PIECES.index(piece) for piece in pieces]


def test_what_opens_a_word(vocabulary):
    opening = [PIECES[i] for i in vocabulary.opens_word.nonzero().flatten().tolist()]
    assert opening == ["</s>", "▁", "▁cat", ",", "▁c", "猫", "▁猫", "++", "▁c++"]


def test_forms_of_a_term(vocabulary):
    entry = Entry("x", ("cat", "cat++", "猫"), False)
    assert vocabulary.forms(entry) == [
        Form((5,)),
        Form((5, 12), open_ended=True),
        Form((11,), open_ended=True),
        Form((10,), open_ended=True),  # within a text without spaces
    ]


def test_terms_that_cannot_be_written_are_named(vocabulary):
    with pytest.raises(
        DataError, match=r"^g:3: the target term `dog` has characters that the model's vocabulary cannot"
    ):
        vocabulary.forms(Entry("x", ("dog",), False, "g:3"))
    with pytest.raises(
        DataError, match=r"^g:4: the target term `,+` has 71 tokens, more than 62\.\s+hint: take it out"
    ):
        vocabulary.forms(Entry("x", ("," * 70,), False, "g:4"))


def test_no_terms_are_no_table(vocabulary):
    device = torch.device("cpu")
    assert vocabulary.required([Constraints(), Constraints()], device) is None
    constraints = vocabulary.required([Constraints(), Constraints((Entry("x", ("cat",), False),))], device)
    assert constraints is not None and constraints.shortest.tolist() == [[0], [1]]


def forbidden(rule, prefix, owner=0):
    row = rule(torch.tensor([prefix], dtype=torch.long).view(1, -1), torch.zeros(1, len(PIECES)), torch.tensor([owner]))
    return [PIECES[i] for i in (row[0] == -torch.inf).nonzero().flatten().tolist()]


def test_a_banned_word_must_go_on(vocabulary):
    rule = BanWords([["cat"], []], vocabulary)
    assert forbidden(rule, []) == []
    ends = ["<unk>", "<s>", "</s>", "<pad>", "▁", "▁cat", ",", "▁c", "猫", "▁猫", "++", "▁c++", "<0xE4>"]
    assert forbidden(rule, ids("▁cat")) == ends  # "alog" and "at" are left
    assert forbidden(rule, ids("▁c", "at")) == ends  # however it is written
    assert forbidden(rule, ids("▁cat", "alog")) == []
    assert forbidden(rule, ids(",", "at")) == []
    assert forbidden(rule, ids("▁cat"), owner=1) == []  # another sentence's


def test_a_banned_word_that_nothing_goes_on_with_is_not_completed(vocabulary):
    assert forbidden(BanWords([["猫"]], vocabulary), []) == ["猫", "▁猫"]
    rule = BanWords([["c++"]], vocabulary)
    assert forbidden(rule, []) == ["▁c++"]
    assert forbidden(rule, ids("▁c")) == ["++", "▁c++"]
    assert forbidden(rule, ids("at", "▁c", "at")) == ["▁c++"]


def test_several_words_are_one_term(vocabulary):
    rule = BanWords([["cat cat"]], vocabulary)
    assert forbidden(rule, ids("▁cat")) == []
    assert "</s>" in forbidden(rule, ids("▁cat", "▁cat"))
    assert "</s>" in forbidden(rule, ids("▁cat", "▁", "▁c", "at", "▁c", "at"))


def test_words_end_where_the_text_does():
    assert ends_in("a cat", "cat") and ends_in("cat", "cat")
    assert not ends_in("bobcat", "cat") and not ends_in("cat ", "cat")


def test_the_rule_of_a_batch_is_made_of_its_entries(vocabulary):
    rule = vocabulary.ban([Constraints(), Constraints(banned=(Entry("x", ("cat", "猫"), True),))])
    assert rule.banned == [[], ["cat", "猫"]]


def test_a_term_of_which_the_tokenizer_leaves_nothing_is_in_no_text():
    vocabulary = Vocabulary(number_tokenizer())
    invisible = Entry("x", ("\xad", "zwei"), True)
    assert vocabulary.normal("\xad") == ""
    assert not vocabulary.has(invisible, "eins") and vocabulary.has(invisible, "eins zwei")
    assert vocabulary.ban([Constraints(banned=(invisible,))]).banned == [["zwei"]]


def test_terms_are_remembered_but_not_without_end(monkeypatch):
    """A server gets others with every request."""
    monkeypatch.setattr("mt.decode.constraints.vocabulary.MOST_KNOWN", 2)
    vocabulary = Vocabulary(FewPieces())
    for term in ("cat", "cat++", "猫", "猫"):
        vocabulary.forms(Entry("x", (term,), False))
        vocabulary.beginning_with(term)
    for known in (vocabulary._forms, vocabulary.beginning_with):
        assert (known.cache_info().currsize, known.cache_info().hits) == (2, 1)
