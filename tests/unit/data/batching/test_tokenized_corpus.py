"""Tokenised text: what is left out, what is read back, and a cache that is right or made again."""

import hashlib
import itertools
import json
import os
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from letters import LetterTokenizer, corpus_of, letter_pairs

from mt.data.batching import TokenizedCorpus, corpus, in_budget, store
from mt.data.batching.batch import Flat
from mt.data.corpus.pair import Origin, Pair
from mt.errors import DataError

sizes = st.lists(st.tuples(st.integers(2, 12), st.integers(2, 12)), min_size=1, max_size=25)


def test_pairs_too_long_on_either_side_are_left_out_and_counted():
    corpus = corpus_of([(4, 4), (5, 4), (4, 5), (2, 2)], max_length=4)
    assert len(corpus) == len(corpus.pairs) == len(corpus.source) == len(corpus.target) == 2
    assert corpus.num_too_long == 2
    assert [pair.origin.line for pair in corpus.pairs] == [1, 4]
    assert (corpus.num_source_rows, corpus.num_target_rows) == (6, 6)
    assert corpus_of([(40, 40)], max_length=None).num_too_long == 0


def test_a_corpus_of_nothing_but_long_pairs_is_refused_and_not_cached(tmp_path):
    text = r"^none of the 2 training pairs has at most 3 pieces \(`batch\.max_length`\) on each side; the longest has 4"
    with pytest.raises(DataError, match=text):
        corpus_of([(4, 2), (2, 4)], max_length=3, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_fingerprint_is_a_hash_of_the_text_in_its_order():
    def of(*pairs):
        made = [Pair(src, tgt, Origin("f", 1)) for src, tgt in pairs]
        return TokenizedCorpus(made, LetterTokenizer()).fingerprint()

    assert of(("a", "b")) == hashlib.sha256(b"a\0b\n").hexdigest()
    alike = [
        (("a", "b"), ("c", "d")),
        (("c", "d"), ("a", "b")),
        (("a", "b"),),
        (("ab", ""), ("c", "d")),
        (("a", "d"), ("c", "b")),
    ]
    assert len({of(*pairs) for pairs in alike}) == len(alike)


@given(sizes, st.integers(1, 40))
def test_validation_reads_everything_once_within_its_budget(sizes, budget):
    corpus = corpus_of(sizes)
    batches = list(in_budget(corpus, budget))
    assert sorted(i for batch in batches for i in batch.indices) == list(range(len(sizes)))
    longest = max(itertools.chain(*sizes))
    assert all(
        max(batch.source.layout.num_rows, batch.target_layout.num_rows) <= max(budget, longest) for batch in batches
    )
    order = [(len(corpus.target[i]), len(corpus.source[i]), i) for batch in batches for i in batch.indices]
    assert order == sorted(order)


# ---- what is written is read back ----------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\0"), max_size=9)
pairs_of_text = st.lists(
    st.builds(Pair, texts, texts, st.builds(Origin, st.sampled_from("abc"), st.integers(1, 2**40))),
    min_size=1,
    max_size=20,
)


@given(pairs_of_text, st.integers(1, 8), st.data())
def test_any_choice_of_any_text_is_read_back_from_tables_of_any_cut(pairs, rows, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "ROWS", rows)
        made = TokenizedCorpus(pairs, LetterTokenizer())
    assert [batch.num_rows for batch in made.table.batches] == [
        len(pairs[i : i + rows]) for i in range(0, len(pairs), rows)
    ]
    tokenizer = LetterTokenizer()
    source, target = tokenizer.encode_source([p.src for p in pairs]), tokenizer.encode_target([p.tgt for p in pairs])
    assert (list(made.pairs), list(made.source), list(made.target)) == (pairs, source, target)
    chosen = data.draw(st.lists(st.integers(0, len(pairs) - 1), max_size=9))
    indices = np.array(chosen, np.int64)
    assert made.table.texts("src", indices) == [pairs[i].src for i in chosen]
    assert made.table.texts("tgt", indices) == [pairs[i].tgt for i in chosen]
    for side, pieces in ((made.source, source), (made.target, target)):
        flat = side.flat(indices)
        assert flat.packed(np.arange(len(chosen))).tolist() == [piece for i in chosen for piece in pieces[i]]
        assert flat.lengths.tolist() == [len(pieces[i]) for i in chosen]
        assert side.lengths().tolist() == [len(ids) for ids in pieces]
        assert side.count_token(197) == sum(ids.count(197) for ids in pieces)  # "a"
    assert made.pairs[-1] == pairs[-1] and made.source[-1] == source[-1]
    assert made.pairs[1:4] == pairs[1:4]


def test_places_outside_are_refused():
    made = corpus_of([(3, 3)] * 4)
    for sequence in (made.pairs, made.source, made.target):
        for place in (4, -5):
            with pytest.raises(IndexError):
                sequence[place]


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=8), st.randoms())
def test_flat_sentences_are_packed_in_any_order(sentences, random):
    order = random.sample(range(len(sentences)), len(sentences))
    packed = Flat.of(sentences).packed(np.array(order, np.int64))
    assert packed.dtype == np.int64
    assert packed.tolist() == [piece for i in order for piece in sentences[i]]


# ---- the cache ------------------------------------------------------------------------------------------------------

MANY = [(2 + i % 7, 2 + i % 5) for i in range(30)]


def same(one, other):
    facts = one.table.facts == other.table.facts and one.fingerprint() == other.fingerprint()
    return facts and all(list(getattr(one, s)) == list(getattr(other, s)) for s in ("pairs", "source", "target"))


class Deaf(LetterTokenizer):
    """Refuses to tokenise anything."""

    def encode_target(self, texts):
        raise AssertionError("tokenised again")


def test_a_second_start_does_not_tokenise_and_maps_the_file(tmp_path, caplog):
    first = corpus_of(MANY, cache=tmp_path)
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["facts.json", "pairs.arrow"]
    again = TokenizedCorpus(letter_pairs(MANY), Deaf(), max_length=12, cache=tmp_path)
    assert same(first, again) and same(again, corpus_of(MANY))
    mapped = Path("/proc/self/maps").read_text(encoding="utf-8") if Path("/proc/self/maps").exists() else str(folder)
    assert str(folder) in mapped
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("pairs", "fingerprint", "max_length"),
    [
        (letter_pairs(MANY[::-1]), "letters", 12),
        ([Pair(p.src, p.tgt, Origin("g", p.origin.line)) for p in letter_pairs(MANY)], "letters", 12),
        ([Pair(p.src, p.tgt, Origin("f", p.origin.line + 1)) for p in letter_pairs(MANY)], "letters", 12),
        (letter_pairs(MANY), "other", 12),
        (letter_pairs(MANY), "letters", 11),
    ],
)
def test_other_text_places_pieces_or_limits_are_another_entry(tmp_path, pairs, fingerprint, max_length):
    corpus_of(MANY, cache=tmp_path)
    tokenizer = LetterTokenizer()
    tokenizer.fingerprint = fingerprint
    made = TokenizedCorpus(pairs, tokenizer, max_length=max_length, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert list(made.pairs) == pairs


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "a bit of the table": lambda folder: flip(folder / "pairs.arrow"),
    "half of the table": lambda folder: os.truncate(folder / "pairs.arrow", 500),
    "no table": lambda folder: (folder / "pairs.arrow").unlink(),
    "no facts": lambda folder: (folder / "facts.json").unlink(),
    "facts that are no JSON": lambda folder: (folder / "facts.json").write_text("{"),
    "facts of another kind": lambda folder: (folder / "facts.json").write_text("[]"),
    "facts that lack one": lambda folder: (folder / "facts.json").write_text('{"facts": {}}'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_what_is_damaged_is_made_again_with_a_warning(tmp_path, caplog, damage):
    corpus_of(MANY, cache=tmp_path)
    (folder,) = tmp_path.iterdir()
    damage(folder)
    assert same(corpus_of(MANY, cache=tmp_path), corpus_of(MANY))
    (said,) = caplog.messages
    assert said.startswith(f"the cached tokenised text in `{folder}` is damaged (") and said.endswith(
        "); it is created again."
    )
    assert list(tmp_path.iterdir()) == [folder]
    TokenizedCorpus(letter_pairs(MANY), Deaf(), max_length=12, cache=tmp_path)


def test_facts_that_count_other_pairs_are_damage(tmp_path, caplog):
    corpus_of(MANY, cache=tmp_path)
    (facts,) = tmp_path.glob("*/facts.json")
    told = json.loads(facts.read_text(encoding="utf-8"))
    told["facts"]["pairs"] += 1
    facts.write_text(json.dumps(told), encoding="utf-8")
    assert len(corpus_of(MANY, cache=tmp_path)) == 30
    assert "is damaged (it holds 30 pairs, not 31)" in caplog.messages[0]


def test_a_cache_that_cannot_be_written_costs_a_warning_and_memory(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    made = corpus_of(MANY, cache=tmp_path / "file" / "cache")
    assert same(made, corpus_of(MANY))
    (said,) = caplog.messages
    assert said.startswith(f"the tokenised text cannot be cached in `{tmp_path}/file/cache/")
    assert said.endswith("` (Not a directory); it is kept in memory.")


def test_a_disk_that_fills_up_costs_a_warning_and_memory_and_leaves_nothing(tmp_path, caplog, monkeypatch):
    class FullDisk(pa.OSFile):
        def write(self, data):
            raise OSError(28, "No space left on device")

    def write_anything(sink, *rest):
        if isinstance(sink, FullDisk):
            sink.write(b"half of it")
        return whole(sink, *rest)

    whole = corpus._write
    monkeypatch.setattr(corpus, "_write", write_anything)
    monkeypatch.setattr(store.pa, "OSFile", FullDisk)
    assert same(corpus_of(MANY, cache=tmp_path), corpus_of(MANY))
    (said,) = caplog.messages
    assert said.endswith("(No space left on device); it is kept in memory.")
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_was_faster_keeps_its_table(tmp_path, monkeypatch):
    def slow(*args):
        monkeypatch.setattr(corpus, "_write", write)
        corpus_of(MANY, cache=tmp_path)  # meanwhile
        (faster,) = tmp_path.glob("[!.]*/pairs.arrow")
        inodes.append(faster.stat().st_ino)
        return write(*args)

    write, inodes = corpus._write, []
    monkeypatch.setattr(corpus, "_write", slow)
    assert same(corpus_of(MANY, cache=tmp_path), corpus_of(MANY))
    (folder,) = tmp_path.iterdir()
    assert [(folder / "pairs.arrow").stat().st_ino] == inodes


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path):
    for name, age in (("old", 90_000), ("young", 10)):
        left = tmp_path / f".tmp-{name}" / "pairs.arrow"
        left.parent.mkdir(parents=True)
        left.write_bytes(b"half")
        then = left.stat().st_mtime - age
        os.utime(left, (then, then))
    corpus_of(MANY, cache=tmp_path)
    assert [path.name for path in tmp_path.glob(".tmp-*")] == [".tmp-young"]


def test_a_folder_that_vanishes_while_it_is_looked_at_is_another_process_s(tmp_path, caplog):
    (tmp_path / ".tmp-other").mkdir()
    (tmp_path / ".tmp-other" / "pairs.arrow").symlink_to("moved")
    corpus_of(MANY, cache=tmp_path)
    # From Python 3.12 on, glob finds the link, too.
    there = [file for file in tmp_path.glob("*/pairs.arrow") if file.exists()]
    assert len(there) == 1 and not caplog.messages


def test_what_is_sent_to_another_process_is_a_path_where_there_is_one(tmp_path):
    made, kept = corpus_of([(9, 9)] * 500, cache=tmp_path), corpus_of([(9, 9)] * 500)
    sizes = []
    for sent in (made, kept):
        data = ForkingPickler.dumps(sent)  # as multiprocessing sends it to a spawned worker; no file ever holds it
        assert same(ForkingPickler.loads(data), kept)
        sizes.append(len(data))
    assert sizes[0] < 1500 < 500 * 4 * 18 < sizes[1]
