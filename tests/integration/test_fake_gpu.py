"""Fake tensors on device `cuda`: torch checks devices, types and shapes by its own rules, and computes nothing.

It needs a CUDA build of torch, and no GPU: `pytest -m fake_gpu`. Whatever asks the device for a value, such as
`.item()`, raises `DataDependentOutputException`, so a step that passes does not wait for the device.

What is not shown: values, speed, graphs, waiting that is no question for a value (a copy from memory that is not
pinned), and the backward pass, which needs a real CUDA context. In its place every parameter gets a gradient of its own
shape and type.
"""

import json
from contextlib import contextmanager
from dataclasses import asdict
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch
import yaml
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from mt.config import ModelConfig, OptimConfig, Precision
from mt.config.from_json import from_plain
from mt.data.batching import make_batch
from mt.decode.search.transformer_stepper import CachedStepper
from mt.nn.encoders import text_model
from mt.train.gradients import EagerGradients
from mt.train.guided_alignment import GuidedAlignment
from mt.train.objective import TranslationLoss, batch_loss
from mt.train.optim import Ema, make_optimizer
from mt.train.step import Updater

pytestmark = [
    pytest.mark.fake_gpu,
    pytest.mark.skipif(torch.version.cuda is None, reason="this build of torch has no CUDA; install a CUDA build"),
]
MODELS = Path(__file__).parents[2] / "configs" / "model"
PRESETS = sorted(path.stem for path in MODELS.glob("*.yaml"))
PRECISIONS = [Precision.fp32, Precision.bf16, Precision.fp16]
SIZE = 64
SENTENCES = [[5, 6, 7, 3], [8, 9, 3], [4, 4, 4, 4, 4, 3]]


@pytest.fixture
def gpu(monkeypatch):
    """A function whose context has a GPU of compute capability 9.0 that computes nothing."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.cuda, "Event", MagicMock)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)

    @contextmanager
    def enter():
        with FakeTensorMode():
            yield

    return enter


@pytest.fixture
def given_gradients(monkeypatch):
    """`backward` gives every parameter of the model a gradient. Returns a function that names the model."""

    def of(model):
        def backward(loss):
            assert loss.device.type == "cuda" and loss.dtype is torch.float32 and loss.requires_grad
            for parameter in model.parameters():
                parameter.grad = torch.empty_like(parameter)

        monkeypatch.setattr(torch.Tensor, "backward", backward)

    return of


def preset(name="tiny", **options):
    values = yaml.safe_load((MODELS / f"{name}.yaml").read_text(encoding="utf-8"))["model"]
    usual = json.loads(json.dumps(asdict(ModelConfig())))
    return from_plain(ModelConfig, {**usual, **values, **options}, name)


def make(config):
    with torch.device("cuda"):
        return text_model(config, src_size=SIZE, tgt_size=SIZE)


def batch():
    targets = [sentence[:-1] for sentence in SENTENCES]
    return make_batch(SENTENCES, targets, range(len(SENTENCES)), bos=2, eos=3)


@pytest.mark.parametrize("name, precision, dropout", list(product(PRESETS, PRECISIONS, [0.0, 0.1])))
def test_every_preset_has_a_loss_without_waiting(gpu, name, precision, dropout):
    with gpu():
        model = make(preset(name, attention_dropout=dropout)).train()
        loss = batch_loss(model, batch().to(torch.device("cuda")), precision, 0.1)
        assert [(x.device.type, x.dtype, x.shape) for x in loss] == [("cuda", torch.float32, ())] * 2
        assert loss.smoothed.requires_grad


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_grouped_queries(gpu, precision, dropout):
    with gpu():
        model = make(preset(kv_heads=2, attention_dropout=dropout)).train()
        loss = batch_loss(model, batch().to(torch.device("cuda")), precision, 0.1)
        assert loss.smoothed.dtype is torch.float32


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("guided", [False, True])
def test_an_update_of_two_batches_does_not_wait(gpu, given_gradients, monkeypatch, precision, guided):
    with gpu():
        model = make(preset())
        given_gradients(model)
        objective = TranslationLoss(model, precision=precision, smoothing=0.1)
        if guided:
            corpus = SimpleNamespace(tokenizer=None, table=None)
            objective = GuidedAlignment(objective, corpus, None, layer=0, head=0, weight=0.1)
            monkeypatch.setattr(objective, "prepare", objective.prepare_largest)
        updater = Updater(
            EagerGradients(objective), make_optimizer(model, OptimConfig()), clip_norm=1.0, ema=Ema(model, 0.999)
        )
        assert updater.scaler.is_enabled() == (precision is Precision.fp16)
        for _ in range(2):
            updater([batch(), batch()], lr=1e-3)
        assert {state["exp_avg"].device.type for state in updater.optimizer.state.values()} == {"cuda"}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("beam", [1, 5])
@pytest.mark.parametrize("kv_heads", [2, 4])
def test_decoding_steps(gpu, monkeypatch, precision, beam, kv_heads):
    """The place of a node is the one number that a step asks for; here it is given."""
    with gpu(), torch.inference_mode():
        model = make(preset(kv_heads=kv_heads))
        stepper = CachedStepper(model, precision, recording=False)
        with stepper.prepared():
            stepper.start(SENTENCES)
            stepper.reorder(torch.arange(len(SENTENCES), device="cuda").repeat_interleave(beam))
            monkeypatch.setattr(torch.Tensor, "__int__", lambda used: beam)
            for _ in range(3):
                tokens = torch.full((len(SENTENCES) * beam,), 4, device="cuda")
                log_probs = stepper.step(tokens)
                assert log_probs.device.type == "cuda" and log_probs.dtype is torch.float32
                assert log_probs.shape == (len(SENTENCES) * beam, SIZE)


def test_a_question_to_the_host_is_noticed(gpu):
    """The oracle of the tests above."""
    with gpu(), pytest.raises(DataDependentOutputException):
        torch.ones(3, device="cuda").sum().item()
