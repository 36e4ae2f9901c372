"""Layers that are compiled: the same numbers and names; and a compiler that fails costs a warning, not the run."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy import number_corpus, tiny_model, updater_of

from mt.nn.losses import Loss
from mt.train.acceleration.compile import CompiledLayers
from mt.train.gradients import CompiledGradients

TESTS = Path(__file__).resolve().parents[3]


@pytest.fixture
def corpus():
    return number_corpus(12)


def compiled(model, backend):
    layers = CompiledLayers(model, backend=backend)
    return updater_of(model, accelerate=lambda eager: CompiledGradients(eager, layers))


def broken(graph, inputs):
    raise RuntimeError("no compiler here")


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, of a gradient that its tracer looks at
def test_a_failing_compiler_causes_one_warning_and_the_update_is_repeated(corpus, caplog):
    plain, failing = updater_of(tiny_model()), compiled(tiny_model(), broken)
    batches = [corpus.batch(range(6)), corpus.batch(range(6, 12))]
    for _ in range(3):
        assert plain(batches, lr=1e-3).read() == failing(batches, lr=1e-3).read()
    for one, other in zip(plain.model.parameters(), failing.model.parameters(), strict=True):
        assert torch.equal(one, other)
    # torch's own loggers warn, too, of packages that are missing.
    (warning,) = [r.message for r in caplog.records if r.levelname == "WARNING" and r.name == "mt"]
    # In tests torch trips over the checks of shapes before it comes to the compiler; what follows is the same.
    assert warning.startswith("the layers cannot be compiled here, and training goes on without (")
    assert len(warning) < 320
    assert not failing.compute_gradients.layers.active


def test_a_gradient_made_before_the_failure_is_kept_and_none_is_added_twice(corpus):
    model = tiny_model()
    plain, eager = updater_of(tiny_model()), updater_of(model)
    first, second = corpus.batch(range(6)), corpus.batch(range(6, 12))
    eager.gradients(first, 10)
    failing = compiled(model, broken)
    failing.gradients(second, 10)
    for batch in (first, second):
        plain.gradients(batch, 10)
    for one, other in zip(plain.model.parameters(), failing.model.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_a_lack_of_memory_does_not_disable_the_compiler(caplog):
    layers = CompiledLayers(tiny_model(), backend="eager")

    def work(model):
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        layers.run(work)
    assert layers.active and not caplog.records


def test_an_error_that_is_not_the_compilers_is_raised(caplog):
    layers, calls = CompiledLayers(tiny_model(), backend="eager"), []

    def work(model):
        calls.append(model)
        raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="a fault of ours"):
        layers.run(work)
    assert calls == [layers.compiled, layers.model] and not layers.active
    with pytest.raises(ValueError, match="a fault of ours"):
        layers.run(work)
    assert calls[2:] == [layers.model] and len(caplog.records) == 1


def test_the_result_of_the_work_is_returned():
    loss = Loss(torch.zeros(()), torch.ones(()))
    assert CompiledLayers(tiny_model(), backend="eager").run(lambda model: loss) is loss


def test_the_compiled_model_is_another_with_the_same_parameters():
    model = tiny_model()
    layers = CompiledLayers(model, backend=broken)
    assert layers.model is model and not any("Compiled" in type(module).__name__ for module in model.modules())
    ours, theirs = ([*map(id, m.parameters())] for m in (model, layers.compiled))
    assert sorted(ours) == sorted(theirs)
    assert layers.compiled.decoder.embedding is model.decoder.embedding  # what holds no layer is shared


def test_a_listener_is_called_by_the_compiled_model_too(corpus):
    model, batch, calls = tiny_model(), corpus.batch(range(6)), []
    layers = CompiledLayers(model, backend="eager")
    model.decoder.layers[0].cross_attention.listener = lambda *args: calls.append(args)
    found = layers.compiled.decoder.layers[0].layer.cross_attention
    memory = model.encode(batch.source)
    found(model.decoder.embedding(batch.target_in, batch.target_layout.positions), batch.target_layout, memory=memory)
    assert len(calls) == 1


SAME = """
import torch
from torch._dynamo.utils import counters
from toy import number_corpus, tiny_model
from mt.config import NormPlacement, Precision
from mt.train.acceleration.compile import CompiledLayers
from mt.train.objective import batch_loss

def found(model, batch):
    loss = batch_loss(model, batch, Precision.fp32, 0.1)
    return [*map(torch.detach, loss), *torch.autograd.grad(loss.smoothed, list(plain.parameters()))]

torch.set_num_threads(1)
corpus = number_corpus(12)
plain = tiny_model(encoder_layers=2, decoder_layers=2, **OPTIONS).train()
compiled = CompiledLayers(plain).compiled
for indices in (range(6), range(12), range(3, 10)):
    batch = corpus.batch(indices)
    torch.testing.assert_close(found(compiled, batch), found(plain, batch), rtol=1e-4, atol=1e-5)
print(counters["stats"]["unique_graphs"])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "graphs"), [("pre", 5), ("post", 3)])
def test_the_compiled_model_is_the_same_for_every_batch_and_compiled_once_a_stack(norm, graphs):
    """The parts between attentions, of which post-norm has none before the first. In a subprocess without checks of
    annotations, where warnings of torch are no errors."""
    code = SAME.replace("**OPTIONS", f"norm=NormPlacement.{norm}")
    done = subprocess.run([sys.executable, "-c", code], cwd=TESTS, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout.strip().split("\n")[-1]) == (0, f"{graphs}"), done.stderr
