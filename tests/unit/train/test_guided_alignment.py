"""Guided alignment in an update: what is added to the loss, however a batch is cut, filled up or segmented."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_step import gradients
from toy import number_corpus, number_pairs, number_tokenizer, tiny_model, updater_of

from mt.alignment.aligner import FILE, from_file
from mt.alignment.heads import AlignmentHeads
from mt.config import BatchConfig, Precision, TrainConfig, Use
from mt.data.batching import BatchStream, TokenizedCorpus, Variation, fill_up
from mt.data.training_links import LinkTable
from mt.nn.forced import capture_attention
from mt.text.tokenizer import Tokenizer
from mt.train.acceleration.choose import accelerate
from mt.train.acceleration.memory import worst_batches
from mt.train.gradients import CompiledGradients, EagerGradients
from mt.train.guided_alignment import GuidedAlignment
from mt.train.objective import batch_loss

TESTS = Path(__file__).resolve().parents[2]
PAIRS = 12


def diagonal(count=PAIRS) -> LinkTable:
    """Every word of `number_pairs` with the one at its place."""
    lengths = [len(pair.src.split()) for pair in number_pairs(count)]
    ends = torch.tensor([0, *lengths]).cumsum(0)
    links = torch.tensor([[i, i] for length in lengths for i in range(length)], dtype=torch.int32)
    return LinkTable(ends.numpy(), links.numpy())


def guided(model=None, *, weight=0.5, corpus=None, count=PAIRS, **options):
    """An updater that guides head 1 of the only layer."""
    corpus = corpus or number_corpus(count)

    def guide(translation):
        return GuidedAlignment(translation, corpus, diagonal(count), layer=0, head=1, weight=weight)

    return updater_of(model or tiny_model(), guide=guide, **options)


def explicit(model, corpus, indices) -> tuple[float, int]:
    """The guided head's loss from captured maps, where words are found by the "▁" that they begin with."""
    t, total, rows = number_tokenizer(), 0.0, 0
    for index in indices:
        batch = corpus.batch([index])
        with capture_attention(model, ["cross"]) as captured:
            model(batch.source, batch.target_in, batch.target_layout)
        weights = captured.maps()[0].cross[0, 1]
        owned = [word_of(t.pieces_source(corpus.source[index][:-1])), word_of(t.pieces_target(corpus.target[index]))]
        for row, word in enumerate(owned[1], 1):
            columns = [column for column, other in enumerate(owned[0]) if other == word]
            total -= sum(weights[row, column].log().item() for column in columns) / len(columns)
            rows += 1
    return total, rows


def word_of(pieces) -> list[int]:
    """The word of each piece, by the "▁" that each word begins with."""
    found, word = [], -1
    for piece in pieces:
        word += piece.startswith("▁")
        found.append(word)
    return found


def test_a_batch_of_random_ids_has_a_target_for_every_row_and_leaves_no_trace():
    updater = guided()
    [batch, _] = worst_batches(200, shortest=3, longest=10, vocabularies=(20, 20))
    assert batch.source.layout.num_sentences > PAIRS  # more than there are links for
    sums = updater.compute_gradients(batch, updater.objective.prepare_largest(batch), 1)
    assert sums[3] == batch.target_layout.num_rows and sums[2] > 0
    assert all(p.grad is not None for p in updater.model.parameters())
    real = number_corpus(PAIRS).batch(range(PAIRS))
    for p in updater.model.parameters():
        p.grad = None
    found, fresh = gradients(updater, [real])[0], gradients(guided(), [real])[0]
    assert all(torch.equal(gradient, fresh[name]) for name, gradient in found.items())


def test_the_loss_is_that_of_the_captured_maps_and_is_added():
    corpus, model = number_corpus(PAIRS), tiny_model()
    total, rows = explicit(model, corpus, range(PAIRS))
    batch = corpus.batch(range(PAIRS))
    plain, before = gradients(updater_of(tiny_model()), [batch])
    half, update = gradients(guided(weight=0.5), [batch])
    whole, _ = gradients(guided(weight=1.0), [batch])
    assert update.extra == {"guided": pytest.approx(total / rows, rel=1e-5)}
    assert (update.loss, update.nll) == (before.loss, before.nll) and before.extra == {}
    for name, gradient in plain.items():  # the alignment loss's part is linear in its weight
        torch.testing.assert_close(whole[name] - gradient, 2 * (half[name] - gradient), rtol=1e-3, atol=1e-6)
    name = "decoder.0.cross_attention.query.weight"
    assert not torch.equal(plain[name], half[name])


def test_it_is_divided_by_all_target_tokens():
    """The gradient of an own sum of both losses, over the tokens."""
    corpus = number_corpus(PAIRS)
    batch, updater = corpus.batch(range(PAIRS)), guided(weight=0.5)
    found, _ = gradients(updater, [batch])
    model = tiny_model()
    twin = guided(model).objective
    with twin.guided_head.compare(twin.prepare(batch)) as head_loss:
        loss = batch_loss(model, batch, Precision.fp32, 0.1)
    ((loss.smoothed + 0.5 * head_loss.value) / batch.target_layout.num_rows).backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(found[name], p.grad)


@pytest.mark.parametrize("cut", [(6, 12), (1, 2, 12), (4, 8, 12)])
def test_an_update_does_not_depend_on_how_it_is_split(cut):
    corpus = number_corpus(PAIRS)
    whole, first = gradients(guided(), [corpus.batch(range(PAIRS))])
    parts = [corpus.batch(range(a, b)) for a, b in zip((0, *cut), cut, strict=False)]
    split, second = gradients(guided(), parts)
    assert second.extra["guided"] == pytest.approx(first.extra["guided"], rel=1e-5)
    for name, gradient in whole.items():
        torch.testing.assert_close(split[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_batch_that_does_not_fit_in_memory_is_computed_in_parts():
    corpus = number_corpus(PAIRS)
    batch = corpus.batch(range(PAIRS))
    whole, first = gradients(guided(), [batch])
    updater, failed = guided(), []

    def out_of_memory_once(module, args):
        if not failed:
            failed.append(True)
            raise torch.OutOfMemoryError("out of memory")

    updater.model.decoder.norm.register_forward_pre_hook(out_of_memory_once)  # after the listener was called
    split, second = gradients(updater, [batch])
    assert failed and second.extra["guided"] == pytest.approx(first.extra["guided"], rel=1e-5)
    for name, gradient in whole.items():
        torch.testing.assert_close(split[name], gradient, rtol=1e-4, atol=1e-6)


def test_padding_has_no_part_in_the_alignment_loss():
    count = 300
    corpus = number_corpus(count)
    batch = corpus.batch(range(count))
    assert fill_up(batch).target_layout.num_rows > batch.target_layout.num_rows >= 1024
    model = tiny_model()
    update = guided(model, count=count)([batch], lr=0.0).read()
    total, rows = explicit(model, corpus, range(count))
    assert update.extra["guided"] == pytest.approx(total / rows, rel=1e-4)


def test_every_word_of_a_sampled_segmentation_has_a_target():
    """With sampling, words have more pieces, and all of them have targets."""
    t = Tokenizer.from_files(number_tokenizer().files(), sampling=0.9)
    corpus = TokenizedCorpus(number_pairs(PAIRS), t)
    stream = BatchStream(corpus, BatchConfig(tokens=4096, max_length=256), seed=1, variation=Variation(sampling=True))
    batch, updater = next(stream), guided(corpus=corpus)
    assert batch.target_layout.num_rows > corpus.num_target_rows
    target = updater.objective.prepare(batch)
    assert target.num_rows == batch.target_layout.num_rows - PAIRS
    sides = [rows.tolist() for rows in batch.source.rows.split(batch.source.layout.lengths.tolist())]
    words = [word_of(t.pieces_source(ids[:-1])) for ids in sides]
    targets = [rows.tolist()[1:] for rows in batch.target_in.split(batch.target_layout.lengths.tolist())]
    first = 1
    for source, ids in zip(words, targets, strict=True):
        for row, word in enumerate(word_of(t.pieces_target(ids)), first):
            assert {source[column] for column in target.columns[target.rows == row].tolist()} == {word}
        first += len(ids) + 1


def test_an_update_without_links_has_no_alignment_loss():
    corpus = number_corpus(PAIRS)
    none = LinkTable(torch.zeros(PAIRS + 1, dtype=torch.int64).numpy(), torch.zeros(0, 2, dtype=torch.int32).numpy())
    updater = updater_of(
        tiny_model(), guide=lambda loss: GuidedAlignment(loss, corpus, none, layer=0, head=0, weight=1.0)
    )
    found, update = gradients(updater, [corpus.batch(range(PAIRS))])
    plain, _ = gradients(updater_of(tiny_model()), [corpus.batch(range(PAIRS))])
    assert update.extra == {}
    assert all(torch.equal(found[name], gradient) for name, gradient in plain.items())


COMPILED = """
import torch
from test_guided_alignment import PAIRS, guided, gradients, number_corpus, tiny_model
from mt.train.acceleration.compile import CompiledLayers
from mt.train.gradients import CompiledGradients

torch.set_num_threads(1)
batch = number_corpus(PAIRS).batch(range(PAIRS))
model = tiny_model()
layers = CompiledLayers(model, backend="eager")
updater = guided(model, accelerate=lambda eager: CompiledGradients(eager, layers))
found, second = gradients(updater, [batch])
plain, first = gradients(guided(), [batch])
assert layers.active and abs(second.extra["guided"] - first.extra["guided"]) < 1e-5
for name, gradient in plain.items():
    torch.testing.assert_close(found[name], gradient)
"""


@pytest.mark.slow
def test_compiled_layers_are_guided_too():
    """In a process without the checks of shapes, which torch's tracer trips over."""
    path = os.pathsep.join(str(folder) for folder in (TESTS, TESTS / "unit" / "train", TESTS.parent))
    done = subprocess.run([sys.executable, "-c", COMPILED], env={**os.environ, "PYTHONPATH": path}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_guided_alignment_uses_no_cuda_graphs_and_logs_it(caplog):
    caplog.set_level("INFO", "mt")
    section, batch = TrainConfig(steps=1, graphs=Use.always, compile=Use.always), BatchConfig(tokens=64, max_length=32)
    found = accelerate(EagerGradients(guided().objective), section, batch, number_corpus(PAIRS))
    assert isinstance(found, CompiledGradients) and isinstance(found.eager, EagerGradients)
    assert caplog.messages == ["no CUDA graphs (`train.graphs`): they compute the translation loss alone"]


def test_the_model_folder_says_which_head_to_read():
    updater = guided(weight=0.25)
    files = updater.objective.files()
    values = json.loads(files[FILE])
    assert from_file(values, updater.model, FILE) == AlignmentHeads(0, (1,), shifted=True)
    assert (values["criterion"], values["score"], values["pairs"]) == ("guided", 0.25, PAIRS)
