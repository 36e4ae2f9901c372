"""Pools in which some pairs come in another writing; letters, two of which are a piece, show which."""

import pickle
from dataclasses import replace

import pytest
from letters import EOS, LetterTokenizer, letter_pairs, one_epoch, plain

from mt.config import BatchConfig
from mt.data.batching import BatchStream, TokenizedCorpus, Variation
from mt.data.batching.pool import Pools
from mt.text.augmentation import Augmentation

HALF = Augmentation(0.5, "en", "de")
SECTION = BatchConfig(tokens=60, max_length=12, pool=40)
PAIRS = letter_pairs([(2 + n % 7, 3 + n % 5) for n in range(200)])


class BestPieces(LetterTokenizer):
    """As a tokenizer without sampling."""

    def sample_target(self, texts, seed):
        return self.encode_target(texts)


def stream(pairs=PAIRS, section=SECTION, **variation):
    tokenizer = LetterTokenizer() if variation.get("sampling") else BestPieces()
    corpus = TokenizedCorpus(pairs, tokenizer, max_length=section.max_length)
    return BatchStream(corpus, section, seed=3, variation=Variation(**variation))


def written(batches):
    """(index, source letters, target letters) of each pair."""
    for batch in batches:
        sources = batch.source.rows.split(batch.source.layout.lengths.tolist())
        targets = batch.target_out.split(batch.target_layout.lengths.tolist())
        for index, *sides in zip(batch.indices, sources, targets, strict=True):
            assert all(side[-1] == EOS for side in sides)
            yield index, *("".join(chr(piece - 100) for piece in side[:-1].tolist()) for side in sides)


def test_some_pairs_of_each_epoch_come_in_capitals_on_both_sides():
    """Of letters without capitals and marks only one of the four writings differs."""
    made, capitals = stream(augmentation=HALF), []
    for _ in range(2):
        seen = {index: sides for index, *sides in written(one_epoch(made))}
        usual = {n: [pair.src[::2], pair.tgt[::2]] for n, pair in enumerate(PAIRS)}
        assert seen.keys() == usual.keys()
        changed = {n for n in seen if seen[n] != usual[n]}
        assert all(seen[n] == [side.upper() for side in usual[n]] for n in changed)
        assert 10 < len(changed) < 45  # an eighth of 200
        capitals.append(changed)
    assert capitals[0] != capitals[1]


def test_the_batches_are_a_pure_function_of_their_place():
    alike = [plain(batch) for batch in one_epoch(stream(augmentation=HALF))]
    assert [plain(batch) for batch in one_epoch(stream(augmentation=HALF))] == alike
    assert [plain(batch) for batch in one_epoch(stream())] != alike
    pools = Pools(corpus=stream().corpus, section=SECTION, seed=3, variation=Variation(augmentation=HALF))
    assert pickle.loads(pickle.dumps(pools))[0, 1].target_in.tolist() == pools[0, 1].target_in.tolist()
    none = stream(augmentation=replace(HALF, share=0.0))
    assert [plain(batch) for batch in one_epoch(none)] == [plain(batch) for batch in one_epoch(stream())]


def test_a_pair_that_capitals_make_too_long_stays_as_it_is():
    """ß has two capital letters."""
    pairs, every = [replace(pair, src="ß" * 8) for pair in PAIRS[:60]], replace(HALF, share=1.0)
    section = BatchConfig(tokens=60, max_length=8, pool=40)

    def sources(section):
        return {source for _, source, _ in written(one_epoch(stream(pairs, section, augmentation=every)))}

    assert sources(section) == {"ß" * 4}
    assert sources(replace(section, max_length=9)) == {"ß" * 4, "S" * 8}


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_other_writings_are_drawn_in_new_pieces_too(share):
    drawn = stream(augmentation=replace(HALF, share=share), sampling=True)
    letters = {chr(piece - 100) for batch in one_epoch(drawn) for piece in batch.target_out.tolist() if piece > 100}
    assert any(letter.isupper() for letter in letters) and any(letter.islower() for letter in letters)
    pieces = [batch.target_out.tolist() for batch in one_epoch(drawn)]
    assert any(99 in batch for batch in pieces)
