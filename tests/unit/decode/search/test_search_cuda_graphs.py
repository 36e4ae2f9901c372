"""Decoding steps as CUDA graphs. On a CPU a replay does the work again: this tests all but the capture itself."""

from hashlib import sha256

import pytest
import torch
from player import Player
from searches import BOS, EOS, HOWS, PAD, V, by_beams, by_greed, drawn_batches, opinionated

import mt.decode.search.cuda_graphs
from mt.config import Precision
from mt.decode.search.beam import beam_search
from mt.decode.search.cuda_graphs import Shape, StepGraphs, power_of_two
from mt.decode.search.ensemble import Ensemble
from mt.decode.search.settings import Search
from mt.decode.search.transformer_stepper import CachedStepper

unchecked = pytest.mark.usefixtures("unchecked_shapes")


@pytest.fixture
def player(monkeypatch):
    player = Player()
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "capture", player)
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "STEPS_BEFORE_CAPTURE", 0)
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "MIN_PLACES", 16)  # the buffers are soon too small
    return player


@pytest.fixture(scope="module")
def batches():
    return drawn_batches()


def same(found, wanted):
    assert [[(h.tokens, h.finished) for h in one] for one in found] == [
        [(h.tokens, h.finished) for h in one] for one in wanted
    ]
    numbers = [[[h.score, *h.token_log_probs] for one in lists for h in one] for lists in (found, wanted)]
    for ours, theirs in zip(*numbers, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


wanted = {}  # what the steps of a model find, computed once for all tests


def by_the_model(model, source, how):
    """The hypotheses of the model's own steps."""
    weights = b"".join(p.detach().cpu().numpy().tobytes() for p in model.parameters())
    key = (repr(model.config), sha256(weights).digest(), repr(source), how)
    if key not in wanted:
        wanted[key] = how(CachedStepper(model), source)
    return wanted[key]


def all_same(stepper, model, batches, how=by_beams):
    """Every batch within one search of the stepper's, against steps of the model itself."""
    with stepper.prepared():
        for source in batches:
            same(how(stepper, source), by_the_model(model, source, how))


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(
    "options",
    [
        {"positions": "rotary", "kv_heads": 2},
        {"positions": "learned", "norm": "post", "tying": "none"},
        {"positions": "sinusoidal", "kv_heads": 1, "norm_kind": "rmsnorm", "activation": "swiglu"},
    ],
    ids=str,
)
def test_graphs_and_eager_steps_give_the_same_hypotheses(small_model, player, batches, how, options):
    """Sentences leave, shapes change, and the contents of earlier batches do not matter."""
    model = opinionated(small_model, **options)
    stepper = CachedStepper(model, cuda_graphs=True)
    all_same(stepper, model, [*batches, *batches[::-1]], how)
    shapes = set(stepper._graphs.graphs)
    assert {shape.sentences for shape in shapes} >= {1, 2, 4}
    assert {shape.places for shape in shapes} >= ({16, 32} if how is by_greed else {32, 64})
    assert {shape.source_length for shape in shapes} == {16, 32}


def test_searches_compared_here_end_early_and_late(small_model, batches):
    model = opinionated(small_model, positions="rotary", kv_heads=2)
    for how in HOWS:
        found = [h for source in batches for one in by_the_model(model, source, how) for h in one]
        assert len({len(h.tokens) for h in found}) > 4
        assert {h.finished for h in found} == {False, True}


@unchecked
def test_graphs_are_reused_and_every_step_is_a_replay(small_model, player, batches, monkeypatch):
    model = opinionated(small_model)
    stepper = CachedStepper(model, cuda_graphs=True)
    steps = []
    plain = StepGraphs.step

    def counted(self, tokens, state):
        steps.append(len(tokens))
        return plain(self, tokens, state)

    monkeypatch.setattr(StepGraphs, "step", counted)
    for _ in range(2):  # in the first the buffers grow, and graphs are captured again
        all_same(stepper, model, batches)
    made, taken = player.recordings, len(steps)
    all_same(stepper, model, batches)
    assert player.recordings == made < taken / 3
    assert len(steps) == taken / 2 * 3 == player.replays - made  # each was replayed once at its capture


@unchecked
def test_a_new_search_uses_the_present_weights(small_model, player, batches):
    model = opinionated(small_model)
    stepper = CachedStepper(model, cuda_graphs=True)
    for _ in range(2):
        all_same(stepper, model, batches)
    made, before = player.recordings, by_the_model(model, batches[0], by_beams)
    with torch.no_grad():
        for n, parameter in enumerate(model.parameters()):
            changed = parameter + 0.1 * torch.randn_like(parameter)
            if n % 2:
                parameter.copy_(changed)
            else:
                parameter.data = changed  # elsewhere in memory
    all_same(stepper, model, batches[:1])
    assert player.recordings <= made + 1  # translations of another length may leave another number of sentences
    assert [h.tokens for h in before[0]] != [h.tokens for h in by_the_model(model, batches[0], by_beams)[0]]


@unchecked
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("value", [float("nan"), 1e30])
def test_padding_rows_do_not_matter(small_model, player, batches, monkeypatch, how, value):
    """Nor do the contents of the buffers before a batch."""
    model = opinionated(small_model, positions="rotary", kv_heads=2)
    stepper = CachedStepper(model, cuda_graphs=True)
    plain, behind = StepGraphs.step, []

    def spoil(steps, first, shape):
        """Overwrite the state of the sentences from `first` on, but not tokens and places, which are indices."""
        state = steps.graphs[shape].state
        sides = [side for layer in state.past for side in layer._buffers]
        sides += [side for layer in state.memory for side in (layer.keys, layer.values)]
        for side in (*sides, state.memory_bias, state.past_bias):
            side[first:] = value

    def spoilt(self, tokens, state):
        hidden = plain(self, tokens, state).clone()
        shape = Shape.of(state)
        behind.append(shape.sentences - state.num_sentences)
        spoil(self, state.num_sentences, shape)
        return hidden

    monkeypatch.setattr(StepGraphs, "step", spoilt)
    with stepper.prepared():
        for source in batches:
            same(how(stepper, source), by_the_model(model, source, how))
            for shape in stepper._graphs.graphs:
                spoil(stepper._graphs, 0, shape)
    assert max(behind) > 1


def test_when_captures_fail_the_search_continues_with_one_warning(small_model, player, batches, monkeypatch, caplog):
    def fails(work, device, pool):
        if player.recordings > 2:
            work()
            raise RuntimeError("operation not permitted when stream is capturing\nat great length")
        return player(work, device, pool)

    monkeypatch.setattr(mt.decode.search.cuda_graphs, "capture", fails)
    model = opinionated(small_model)
    all_same(CachedStepper(model, cuda_graphs=True), model, batches)
    assert player.replays > 0
    (warning,) = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert warning == (
        "the search continues without CUDA graphs, which failed here (RuntimeError: operation not permitted when "
        "stream is capturing)"
    )


@unchecked
@pytest.mark.parametrize("value", [float("nan"), 0.0])
def test_a_graph_whose_replay_differs_is_not_used(small_model, player, batches, monkeypatch, caplog, value):
    def wrong(work, device, pool):
        replay, results = player(work, device, pool)

        def spoilt():
            replay()
            results[0].fill_(value)

        return spoilt, results

    monkeypatch.setattr(mt.decode.search.cuda_graphs, "capture", wrong)
    model = opinionated(small_model)
    all_same(CachedStepper(model, cuda_graphs=True), model, batches)
    (warning,) = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert warning.endswith("(RuntimeError: a replay differs from the captured step)")


def test_rare_shapes_are_not_captured(small_model, player, batches, monkeypatch):
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "STEPS_BEFORE_CAPTURE", 5)
    model = opinionated(small_model)
    stepper = CachedStepper(model, cuda_graphs=True)
    all_same(stepper, model, batches)
    steps, graphs = stepper._graphs.steps, stepper._graphs.graphs
    assert min(steps.values()) < 5
    assert set(graphs) == {shape for shape, times in steps.items() if times > 5} != set()


@unchecked
def test_the_number_of_graphs_is_bounded(small_model, player, batches, monkeypatch):
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "MAX_GRAPHS", 2)
    model = opinionated(small_model)
    stepper = CachedStepper(model, cuda_graphs=True)
    all_same(stepper, model, [*batches, *batches])
    assert len(stepper._graphs.graphs) == 2 < player.recordings


@unchecked
def test_many_rows_are_not_captured_until_few_are_left(small_model, player, batches, monkeypatch):
    """A state moves into the buffers late, and a search that widens runs eagerly for some steps."""
    model = opinionated(small_model)
    weights = sum(p.numel() for p in model.parameters())
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "SMALL", weights * 9)
    stepper = CachedStepper(model, cuda_graphs=True)
    for how in HOWS:
        all_same(stepper, model, batches, how)
    rows = {shape.sentences * shape.width for shape in stepper._graphs.graphs}
    assert 4 in rows
    assert all(shape.width * (shape.sentences // 2 + 1) < 9 for shape in stepper._graphs.graphs)


def test_attention_weights_are_kept_without_graphs(small_model, player, batches):
    model = opinionated(small_model)
    stepper, plain = CachedStepper(model, cuda_graphs=True), CachedStepper(model)
    search = Search(bos=BOS, eos=EOS, pad=PAD, beam=4, nbest=4, coverage_penalty=0.3, max_ratio=1.0, max_extra=9)
    with stepper.prepared():
        same(*(beam_search(s, batches[0], search=search) for s in (stepper, plain)))
    assert player.recordings == 0


def test_graphs_are_for_prepared_searches_on_a_gpu(small_model, player, batches):
    model = opinionated(small_model)
    assert not CachedStepper(model).uses_graphs() and not CachedStepper(model, cuda_graphs=None).uses_graphs()
    by_beams(CachedStepper(model, cuda_graphs=True), batches[0])  # outside of `prepared`
    stepper = CachedStepper(model, cuda_graphs=False)
    with stepper.prepared():
        by_beams(stepper, batches[0])
    assert player.recordings == 0


@unchecked
def test_a_stepper_that_no_longer_uses_graphs_frees_them(small_model, player, batches):
    model = opinionated(small_model)
    stepper = CachedStepper(model, cuda_graphs=True)
    all_same(stepper, model, batches)
    assert stepper._graphs.graphs
    stepper.cuda_graphs = None  # as after a move to the CPU
    all_same(stepper, model, batches)
    assert stepper._graphs is None


@unchecked
def test_without_memory_for_larger_buffers_the_search_continues(small_model, player, batches, monkeypatch, caplog):
    model = opinionated(small_model)
    stepper = CachedStepper(model, cuda_graphs=True)
    sizes_tried = []

    class Narrow(mt.decode.search.cuda_graphs.Buffers):
        def __init__(self, *args, **sizes):
            sizes_tried.append(sizes)
            if len(sizes_tried) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            super().__init__(*args, **sizes)

    monkeypatch.setattr(mt.decode.search.cuda_graphs, "Buffers", Narrow)
    all_same(stepper, model, [*batches, *batches])
    assert len(sizes_tried) == 2 and player.replays > 0
    assert stepper._graphs.buffers is None and not stepper._graphs.graphs
    (warning,) = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert warning.endswith("which failed here (OutOfMemoryError: CUDA out of memory)")


@unchecked
def test_an_ensemble_may_have_a_member_with_graphs(small_model, player, batches):
    first, second = opinionated(small_model), opinionated(small_model, positions="rotary")
    plain = Ensemble([CachedStepper(first), CachedStepper(second)])
    stepper = CachedStepper(first, cuda_graphs=True)
    with stepper.prepared():
        for source in batches:
            same(by_beams(Ensemble([stepper, CachedStepper(second)]), source), by_beams(plain, source))
    assert player.replays > 0


def test_the_copy_is_another_model_and_what_is_tied_is_tied(small_model):
    model = opinionated(small_model)
    for precision, dtype in ((Precision.fp32, torch.float32), (Precision.bf16, torch.bfloat16)):
        steps = StepGraphs(model, precision)
        assert {x.dtype for x in mt.decode.search.cuda_graphs.numbers(steps.model)} == {dtype}
        assert steps.model.out_weight is steps.model.tgt_weight is steps.model.decoder.embedding.weight
        addresses = [{x.data_ptr() for x in mt.decode.search.cuda_graphs.numbers(m)} for m in (model, steps.model)]
        assert not addresses[0] & addresses[1]


def log_probs(stepper, tokens):
    """Of 2 sentences, 3 hypotheses each from the second step on."""
    found = []
    with torch.inference_mode(), stepper.prepared():
        stepper.start([[5, 6, EOS], [7, EOS]])
        found.append(stepper.step(torch.full((2,), BOS, device=stepper.device)))
        stepper.reorder(torch.tensor([0, 0, 0, 1, 1, 1], device=stepper.device))
        found += [stepper.step(torch.tensor(row, device=stepper.device)) for row in tokens]
    return found


def tokens_of(steps):
    return torch.randint(4, V, (steps, 6), generator=torch.Generator().manual_seed(2)).tolist()


def test_16_bits_are_near_those_of_autocast(small_model, player):
    model = opinionated(small_model, norm="post")
    ours, theirs, exact = (
        torch.cat(log_probs(CachedStepper(model, precision, cuda_graphs=graphs), tokens_of(8)))
        for graphs, precision in ((True, Precision.bf16), (False, Precision.bf16), (False, Precision.fp32))
    )
    assert player.recordings > 1
    assert ours.dtype == torch.float32
    assert not torch.equal(ours, exact)
    torch.testing.assert_close(ours, exact, rtol=0, atol=0.15)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.15)


def test_the_result_of_a_step_outlives_the_next_step(small_model, player):
    stepper = CachedStepper(opinionated(small_model), cuda_graphs=True)
    rows = tokens_of(6)
    wanted = log_probs(stepper, rows)
    kept = [x.clone() for x in wanted]
    log_probs(stepper, rows[::-1])
    assert all(torch.equal(one, other) for one, other in zip(kept, wanted, strict=True))


def test_sizes_are_rounded_up_to_powers_of_two():
    assert [power_of_two(n) for n in (1, 2, 3, 4, 5, 64, 65)] == [1, 2, 4, 4, 8, 64, 128]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16])
@pytest.mark.parametrize("positions", ["rotary", "sinusoidal"])
def test_graphed_steps_equal_eager_ones(small_model, monkeypatch, caplog, precision, positions):
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "STEPS_BEFORE_CAPTURE", 1)
    model = opinionated(small_model, dim=64, positions=positions, kv_heads=2).cuda()
    graphed = CachedStepper(model, precision, cuda_graphs=None)
    assert graphed.uses_graphs()
    near = {"rtol": 1e-4, "atol": 1e-4} if precision is Precision.fp32 else {"rtol": 0, "atol": 0.25}
    for seed in range(3):  # the second search replays the graphs of the first, with other weights
        rows = tokens_of(20 + seed)
        eager = log_probs(CachedStepper(model, precision, cuda_graphs=False), rows)
        torch.testing.assert_close(log_probs(graphed, rows), eager, **near)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.01)
    assert graphed._graphs.graphs
    assert not caplog.records


@pytest.mark.gpu
@pytest.mark.parametrize("how", HOWS)
def test_graphed_searches_equal_eager_ones(small_model, batches, monkeypatch, caplog, how):
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "STEPS_BEFORE_CAPTURE", 1)
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "MIN_PLACES", 16)
    model = opinionated(small_model, positions="rotary").cuda()
    stepper = CachedStepper(model, cuda_graphs=None)
    all_same(stepper, model, [*batches, *batches[::-1]], how)
    assert stepper._graphs.graphs
    assert not caplog.records
