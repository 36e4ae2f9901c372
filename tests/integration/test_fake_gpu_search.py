"""Whole searches and scoring on a stand-in for a GPU (`tests/stand_in_gpu.py`): `pytest -m fake_gpu`.

A search has to ask the device: whether sentences have ended decides whether it goes on. Each function that asks is
named here, with how often it may.
"""

import math

import pytest
import torch
from player import Player
from stand_in_gpu import HAS_CUDA, HAS_DRIVER, driver, give_values, stand_in_gpu  # noqa: F401
from toy import number_pairs, number_tokenizer, trained_numbers

import mt.decode.search.cuda_graphs
from mt.config import DecodeConfig, Precision
from mt.decode.request import Sampling
from mt.decode.rerank.scorer import Scorer
from mt.decode.search.ensemble import Ensemble
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.nn.encoders import text_model

pytestmark = [
    pytest.mark.fake_gpu,
    pytest.mark.skipif(not HAS_CUDA, reason="this build of torch has no CUDA; install a CUDA build"),
    pytest.mark.skipif(not HAS_DRIVER, reason="no stand-in driver: give -m fake_gpu, and install a C compiler"),
]
PAIRS = number_pairs(6, seed=5)
SOURCES = [pair.src for pair in PAIRS]
PRECISIONS = [Precision.fp32, Precision.bf16, Precision.fp16]
# How often each function may ask the device, by the number of steps n. A step of any search asks how many places its
# cache needs and whether sentences are left; the others ask when sentences leave, or once for a batch.
EACH_STEP = {"DecoderState.advance", "greedy_search", "search_beams", "give_up", "sample_search", "Rows.remove_ended"}


def translator(precision=Precision.fp32, on="cpu", *, cuda_graphs=False):
    model, size = trained_numbers(), number_tokenizer().tgt_size
    if on == "cuda":
        with torch.device("cuda"):
            copy = text_model(model.config, src_size=size, tgt_size=size).eval()
        give_values(copy, model)
        model = copy
    stepper = CachedStepper(model, precision, cuda_graphs=cuda_graphs)
    return Translator(stepper, number_tokenizer(), DecodeConfig(), max_length=64)


def written(found):
    return [[(one.text, one.finished) for one in some] for some in found]


WAYS = {
    "greedy": {"beam": 1},
    "beam": {"beam": 5, "nbest": 3},
    "exact": {"beam": 3, "patience": math.inf},
    "groups": {"beam": 4, "groups": 2},
    "coverage": {"beam": 3, "coverage_penalty": 0.2},
    "rules": {"beam": 3, "min_length": 3, "no_repeat_ngram": 2},
    "samples": {"sampling": Sampling(samples=3, seed=1, temperature=0.7, top_k=5, top_p=0.9)},
}


@pytest.mark.parametrize("how", WAYS)
def test_searches_find_what_a_cpu_finds_and_ask_what_they_must(how):
    wanted = translator().search(SOURCES, **WAYS[how])
    with stand_in_gpu() as questions:
        ours = translator(on="cuda")
        steps, step = [], ours.stepper.step
        ours.stepper.step = lambda tokens: steps.append(len(tokens)) or step(tokens)
        found = ours.search(SOURCES, **WAYS[how])
        asked = dict(questions)
    assert written(found) == written(wanted)
    for mine, theirs in zip(found, wanted, strict=True):
        assert [x.score for x in mine] == pytest.approx([x.score for x in theirs], abs=1e-4)
    assert asked["DecoderState.advance"] == len(steps)
    assert set(asked) <= EACH_STEP | LEAVING | ONCE, asked
    assert all(asked[name] <= 2 * len(steps) for name in set(asked) & EACH_STEP), asked
    assert asked.get("staying", 0) <= 3 * (len(SOURCES) + 1), "only where sentences leave"
    assert all(asked[name] <= 12 for name in set(asked) & ONCE), asked


LEAVING = {"staying", "move", "Ragged._bounds"}
ONCE = {"Transcript.hypotheses", "Transcript.hypotheses.<locals>.<genexpr>", "NBestLists.entries", "Trellis.paths",
        "Trellis.paths.<locals>.<genexpr>",
        "NBestLists.offer", "NoRepeatNgram.__call__", "Trellis.add"}  # fmt: skip


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("beam", [1, 5])
def test_searches_in_each_precision(precision, beam):
    wanted = translator().search(SOURCES, beam=beam)
    with stand_in_gpu():
        found = translator(precision, on="cuda").search(SOURCES, beam=beam)
    assert written(found) == written(wanted)
    scores = [[one.score for (one,) in some] for some in (found, wanted)]
    assert sum(scores[0]) == pytest.approx(sum(scores[1]), rel=1e-4 if precision is Precision.fp32 else 0.1)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_scores_are_those_of_a_cpu_and_are_read_once_a_batch(precision):
    sides = SOURCES, [pair.tgt for pair in PAIRS]
    wanted = Scorer(translator()).score(*sides)
    with stand_in_gpu() as questions:
        found = Scorer(translator(precision, on="cuda")).score(*sides)
        assert questions == {"force_batch": 1}
    values = [[one.log_prob for one in some] for some in (found, wanted)]
    assert values[0] == pytest.approx(values[1], abs=1e-3 if precision is Precision.fp32 else 0.2)


@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16])
def test_the_work_of_a_step_graph_asks_nothing(monkeypatch, precision):
    """On a GPU the capture would fail. The step's question about its cache comes before."""
    asked = []

    class Watching(Player):
        def __call__(self, work, device, pool=None):
            def watched():
                before = questions.copy()
                results = work()
                asked.append(questions - before)
                return results

            return super().__call__(watched, device, pool)

    player = Watching()
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "capture", player)
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "STEPS_BEFORE_CAPTURE", 0)
    wanted = translator().search(SOURCES, beam=3)
    with stand_in_gpu() as questions:
        found = translator(precision, on="cuda", cuda_graphs=True).search(SOURCES, beam=3)
    assert player.replays > 3 and written(found) == written(wanted)
    assert asked and not any(asked)


def test_an_ensemble_of_two_models_on_the_stand_in():
    wanted = translator().search(SOURCES, beam=3)
    with stand_in_gpu():
        ours = translator(on="cuda")
        ours.searched = Ensemble([ours.stepper, translator(on="cuda").stepper])
        assert written(ours.search(SOURCES, beam=3)) == written(wanted)
