"""The search of CTranslate2 gives what ours gives."""

import math
from dataclasses import asdict

import pytest
import torch
from toy import number_pairs, number_tokenizer, trained_numbers

from mt.config import DecodeConfig, Unknown
from mt.decode.search.beam import beam_search
from mt.decode.search.engine import Wanted
from mt.decode.search.rules import BanTokens, ForcedPrefix, MinLength, NoRepeatNgram
from mt.decode.search.settings import Search
from mt.decode.search.transformer_stepper import CachedStepper
from mt.interchange.ct2 import write_ct2
from mt.interchange.ct2_engine import Ct2Engine, say_inexact

pytest.importorskip("ctranslate2")
T = number_tokenizer()
SOURCES = T.encode_source([pair.src for pair in number_pairs(20, seed=7)])


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ct2") / "out"
    write_ct2(trained_numbers(), T, folder)
    return Ct2Engine(folder, T, threads=1)


def settings(**given):
    return Search(bos=T.bos, eos=T.eos, pad=T.pad, **{**asdict(DecodeConfig()), "max_length": 60, **given})


@torch.inference_mode()
def both(engine, search, rules=(), **wanted):
    ours = beam_search(CachedStepper(trained_numbers()), SOURCES, search=search, rules=list(rules))
    return ours, engine.search(SOURCES, search, Wanted(**wanted))


def compare(ours, theirs):
    for some, others in zip(ours, theirs, strict=True):
        assert [one.tokens for one in some] == [one.tokens for one in others]
        assert [one.finished for one in some] == [one.finished for one in others]
        for one, other in zip(some, others, strict=True):
            assert other.token_log_probs == pytest.approx(one.token_log_probs, abs=1e-4)
            assert other.log_prob == pytest.approx(one.log_prob, abs=1e-3)
            assert other.score == pytest.approx(one.score, abs=1e-3)


def check(engine, search, rules=(), **wanted):
    ours, theirs = both(engine, search, rules, **wanted)
    compare(ours, theirs)
    return theirs


@pytest.mark.parametrize("beam, nbest", [(1, 1), (4, 1), (4, 3)])
@pytest.mark.parametrize("penalty", [1.0, 0.6])
def test_beam_and_scores(engine, beam, nbest, penalty):
    ours, theirs = both(engine, settings(beam=beam, nbest=nbest, length_penalty=penalty, patience=math.inf))
    # The engine lists what reached the length limit by its score, and so may leave out the last finished ones;
    # whether a toy model goes on so long depends on the processor that trained it.
    reached = [n for n, some in enumerate(theirs) if nbest > 1 and not all(one.finished for one in some)]
    assert len(reached) <= 1
    for n in reached:
        theirs[n] = [one for one in theirs[n] if one.finished]
        ours[n] = ours[n][: len(theirs[n])]
        assert theirs[n]
    compare(ours, theirs)


def test_each_sentence_has_its_own_longest_output(engine):
    found = check(engine, settings(beam=1, max_ratio=0.3, max_extra=1))
    assert len({len(some[0].tokens) for some in found}) > 1 and not any(some[0].finished for some in found)


def test_rules(engine):
    least = [len(source) + 2 for source in SOURCES]
    check(engine, settings(beam=1), [MinLength(least, eos=T.eos)], least=least)
    check(engine, settings(beam=1, no_repeat_ngram=2), [NoRepeatNgram(2)])
    check(engine, settings(beam=1, unknown=Unknown.ban), [BanTokens([T.unk])])
    prefixes = [T.encode_target(["zehn"])[0] if n % 2 else [] for n in range(len(SOURCES))]
    found = check(engine, settings(beam=1), [ForcedPrefix(prefixes)], prefixes=prefixes)
    assert all(some[0].tokens[: len(p)] == p for some, p in zip(found, prefixes, strict=True))


def test_a_translation_does_not_depend_on_its_batch(engine):
    search = settings(beam=4, patience=math.inf)
    together = [some[0].tokens for some in engine.search(SOURCES, search, Wanted())]
    alone = [engine.search([source], search, Wanted())[0][0].tokens for source in SOURCES]
    assert together == alone


@pytest.mark.parametrize("exact", [False, True])
def test_weights_in_8_bits_are_computed_in_32_where_products_would_be_wrong(exact, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("mt.interchange.ct2_engine.int8_is_exact", lambda: exact)
    write_ct2(trained_numbers(), T, tmp_path / "out", quantization="int8")
    say_inexact.cache_clear()
    small, again = (Ct2Engine(tmp_path / "out", T, threads=1) for _ in range(2))
    assert again.translator.compute_type == small.translator.compute_type
    assert small.translator.compute_type == ("int8_float32" if exact else "float32")
    assert [record.getMessage() for record in caplog.records if record.name == "mt"] == ([] if exact else [
        "this processor adds products in 8 bits with errors, since it has no VNNI: the weights stay in 8 bits, but the "
        "engine computes in 32."
    ])  # fmt: skip
