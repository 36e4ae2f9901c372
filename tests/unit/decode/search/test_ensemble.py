"""Several models as one: the two means by hand, and the same verbs for all members."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from table import BOS, EOS, A, B, TableStepper, drawn, found, settings, written

from mt.compute.matmul import has_int8
from mt.config import Precision
from mt.decode.search.beam import beam_search
from mt.decode.search.ensemble import Ensemble, Mean, join
from mt.decode.search.transformer_stepper import CachedStepper
from mt.errors import ConfigError

SURE = written({(): [0.0, 0.8, 0.2], (A,): [1.0, 0.0, 0.0], (B,): [1.0, 0.0, 0.0]})
UNSURE = written({(): [0.5, 0.05, 0.45], (A,): [1.0, 0.0, 0.0], (B,): [1.0, 0.0, 0.0]})


def first_step(mean):
    ensemble = Ensemble([TableStepper(SURE), TableStepper(UNSURE)], mean=mean)
    ensemble.start([[EOS]])
    return ensemble.step(torch.tensor([BOS]))[0, EOS:].exp().tolist()


def test_the_mean_of_probabilities():
    assert first_step(Mean.probabilities) == pytest.approx([0.25, 0.425, 0.325])


def test_the_mean_of_log_probabilities_gives_every_member_a_veto():
    assert first_step(Mean.log_probs) == pytest.approx([0.0, math.sqrt(0.8 * 0.05), math.sqrt(0.2 * 0.45)])


def test_the_means_choose_differently():
    search = settings(beam=2)
    members = [TableStepper(SURE), TableStepper(UNSURE)]
    assert found(beam_search(Ensemble(members), [[EOS]], search=search)) == [[[A]]]
    assert found(beam_search(Ensemble(members, mean=Mean.log_probs), [[EOS]], search=search)) == [[[B]]]


@given(st.integers(0, 10**6), st.sampled_from(Mean), st.integers(1, 3))
def test_a_model_agrees_with_itself(seed, mean, beam):
    source = [[3, EOS], [4, 5, EOS], [EOS]]
    search = settings(beam=beam, nbest=beam)
    alone = beam_search(TableStepper(drawn(seed)), source, search=search)
    twice = Ensemble([TableStepper(drawn(seed)), TableStepper(drawn(seed))], mean=mean)
    assert twice.device == torch.device("cpu")
    together = beam_search(twice, source, search=search)
    assert found(together) == found(alone)
    scores = [h.score for hypotheses in together for h in hypotheses]
    assert scores == pytest.approx([h.score for hypotheses in alone for h in hypotheses], rel=1e-5)


def test_an_ensemble_needs_a_member():
    with pytest.raises(ConfigError, match=r"^`ensemble.members` must name at least one model, but is 0\.$"):
        Ensemble([])


def test_an_ensemble_needs_one_vocabulary():
    ensemble = Ensemble([TableStepper(drawn(1)), TableStepper(drawn(1, num_words=3))])
    message = r"^the models of an ensemble must share one target vocabulary, but theirs have \[5, 6\] tokens\.$"
    with pytest.raises(ConfigError, match=message):
        beam_search(ensemble, [[EOS]], search=settings(beam=2))


def first_log_probs(stepper):
    with torch.inference_mode(), stepper.prepared():
        stepper.start([[5, 6, EOS], [7, EOS]])
        return stepper.step(torch.tensor([BOS, BOS]))


PRECISIONS = [Precision.fp32, Precision.bf16, *([Precision.int8] if has_int8() else [])]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("other", PRECISIONS)
def test_every_member_runs_in_its_own_precision(small_model, precision, other):
    models = [small_model(seed=1), small_model(seed=2)]
    members = [CachedStepper(*each) for each in zip(models, (precision, other), strict=True)]
    alone = [first_log_probs(member) for member in members]
    together = first_log_probs(Ensemble(members))
    assert torch.equal(together, join([x.clone() for x in alone], Mean.probabilities))
    for seen, model, used in zip(alone, models, (precision, other), strict=True):
        exact = first_log_probs(CachedStepper(model))
        assert torch.equal(seen, exact) == (used is Precision.fp32)


def test_every_member_is_in_eval_mode(small_model):
    models = [small_model(seed=1).train(), small_model(seed=2).train()]
    with Ensemble([CachedStepper(model) for model in models]).prepared():
        assert not any(model.training for model in models)


def test_one_member_costs_nothing():
    alone = torch.randn(2, 5).log_softmax(-1)
    for mean in Mean:
        assert join([alone], mean) is alone


@given(st.integers(2, 4), st.integers(0, 10**6))
def test_the_mean_is_what_the_formula_says_wherever_a_number_stands(members, seed):
    generator = torch.Generator().manual_seed(seed)
    opinions = [torch.randn(3, 7, generator=generator).mul(20).log_softmax(-1) for _ in range(members)]
    wanted = torch.stack(opinions).double().logsumexp(0) - math.log(members)
    found = join([x.clone() for x in opinions], Mean.probabilities)
    torch.testing.assert_close(found, wanted.float(), rtol=1e-5, atol=1e-5)
    for row in range(3):
        alone = join([x[row : row + 1].clone() for x in opinions], Mean.probabilities)
        assert torch.equal(alone, found[row : row + 1])


def test_probabilities_too_small_for_32_bits_keep_their_logarithm():
    """Within log n of it: what is impossible to all members, and nothing else, is impossible."""
    opinions = [torch.tensor([[-200.0, -torch.inf, -150.0, 0.0]]), torch.tensor([[-210.0, -torch.inf, -150.0, 0.0]])]
    found = join(opinions, Mean.probabilities)[0].tolist()
    assert found == pytest.approx([-200 - math.log(2), -math.inf, -150 - math.log(2), 0.0])
