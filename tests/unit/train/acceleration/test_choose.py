"""Which runs are compiled and which use CUDA graphs."""

from types import SimpleNamespace

import pytest
import torch
from toy import number_corpus, tiny_model

from mt.compute.cuda_graphs import SMALL
from mt.config import BatchConfig, Precision, TrainConfig, Use
from mt.train.acceleration.choose import MIN_MINUTES, MIN_UPDATES, accelerate, compiling_pays, graphs_pay
from mt.train.gradients import CompiledGradients, EagerGradients, GraphedGradients
from mt.train.objective import TranslationLoss

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
LONG = {"steps": MIN_UPDATES}


def eager_gradients() -> EagerGradients:
    return EagerGradients(TranslationLoss(tiny_model(), precision=Precision.fp32, smoothing=0.1))


@pytest.mark.parametrize(
    ("limits", "pays"),
    [
        (LONG, True),
        ({"steps": MIN_UPDATES - 1}, False),
        ({"epochs": MIN_UPDATES / 100}, True),  # of 100 updates each
        ({"epochs": MIN_UPDATES / 100 - 0.1}, False),
        ({"minutes": MIN_MINUTES}, True),
        ({"minutes": MIN_MINUTES - 1}, False),
        ({**LONG, "minutes": 1}, False),
        ({**LONG, "epochs": 1}, False),
        ({"patience": 3}, True),
    ],
    ids=str,
)
def test_auto_compiles_long_runs_on_cuda_and_none_on_a_cpu(limits, pays):
    section = TrainConfig(**limits, compile=Use.auto)
    assert compiling_pays(section, CUDA, per_epoch=100) is pays
    assert not compiling_pays(section, CPU, per_epoch=100)


@pytest.mark.parametrize("device", [CPU, CUDA], ids=str)
def test_always_and_never_mean_what_they_say(device):
    model = tiny_model()
    for use, expected in ((Use.always, True), (Use.never, False)):
        section = TrainConfig(steps=1, compile=use, graphs=use)
        assert compiling_pays(section, device, per_epoch=100) is expected
        assert graphs_pay(section, model, device, rows=64, precision=Precision.fp32) is expected
        assert not graphs_pay(section, model, device, rows=64, precision=Precision.fp16)


def test_neither_is_used_by_default():
    section, model = TrainConfig(minutes=60), tiny_model()
    assert not compiling_pays(section, CUDA, per_epoch=100)
    assert not graphs_pay(section, model, CUDA, rows=64, precision=Precision.bf16)


def test_auto_uses_graphs_for_small_models_in_bf16_on_cuda():
    section, model = TrainConfig(steps=1, graphs=Use.auto), tiny_model()

    def pays(model=model, device=CUDA, rows=4096, precision=Precision.bf16):
        return graphs_pay(section, model, device, rows=rows, precision=precision)

    rows = int(SMALL / sum(p.numel() for p in model.parameters()))
    assert pays() and pays(rows=rows - 1) and not pays(rows=rows + 1)
    assert not pays(device=CPU) and not pays(precision=Precision.fp32) and not pays(precision=Precision.fp16)
    assert not pays(tiny_model(attention_dropout=0.1))


@pytest.mark.parametrize(
    ("compile", "graphs", "found"),
    [("auto", "auto", (False, False)), ("always", "never", (True, False)), ("always", "always", (True, True))],
)
def test_gradients_are_computed_as_configured(compile, graphs, found, caplog):
    caplog.set_level("INFO", "mt")
    eager, corpus = eager_gradients(), number_corpus(60)
    section = TrainConfig(steps=1, compile=Use(compile), graphs=Use(graphs))
    gradients = accelerate(eager, section, BatchConfig(tokens=64, max_length=32), corpus)
    graphed = gradients if isinstance(gradients, GraphedGradients) else None
    rest = graphed.fallback if graphed else gradients
    assert (isinstance(rest, CompiledGradients), graphed is not None) == found
    assert (rest.eager if isinstance(rest, CompiledGradients) else rest) is eager
    if graphed is not None:
        longest = int(max(corpus.source.lengths().max(), corpus.target.lengths().max() + 1))
        assert graphed.graphed.buffers.shape.width == longest
        assert [text for text in caplog.messages if text.startswith("batches run as a CUDA graph: ")]


def test_rows_of_a_table_use_no_cuda_graphs_and_the_log_says_so(caplog):
    caplog.set_level("INFO", "mt")
    eager, corpus = eager_gradients(), number_corpus(20)
    corpus.reader = SimpleNamespace()
    section = TrainConfig(steps=1, graphs=Use.always)
    assert accelerate(eager, section, BatchConfig(tokens=64, max_length=32), corpus) is eager
    assert caplog.messages == ["no CUDA graphs (`train.graphs`): they need sources of text"]


def test_no_cuda_graphs_in_fp16_and_the_log_says_so(caplog):
    caplog.set_level("INFO", "mt")
    eager = EagerGradients(TranslationLoss(tiny_model(), precision=Precision.fp16, smoothing=0.1))
    section = TrainConfig(steps=1, graphs=Use.always)
    assert accelerate(eager, section, BatchConfig(tokens=64, max_length=32), number_corpus(20)) is eager
    assert caplog.messages == ["no CUDA graphs (`train.graphs`): they cannot follow the scale of the loss in fp16"]


def test_a_sharded_model_is_left_as_it_is_and_the_log_says_so(monkeypatch, caplog):
    caplog.set_level("INFO", "mt")
    monkeypatch.setattr("mt.train.acceleration.choose.is_sharded", lambda model: True)
    eager = eager_gradients()
    section = TrainConfig(steps=1, compile=Use.always, graphs=Use.always)
    assert accelerate(eager, section, BatchConfig(tokens=64, max_length=32), number_corpus(20)) is eager
    assert caplog.messages == [
        "no CUDA graphs and no compiled layers (`train.graphs`, `train.compile`): the model is sharded"
    ]
