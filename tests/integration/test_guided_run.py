"""A run with guided alignment: the head follows the links, `mt align` uses it, and a stopped run resumes exactly."""

import os
import random
import re
import sys
from pathlib import Path

import pytest
import torch
from test_resume_grid import everything, fit
from toy import number_pairs, number_tokenizer, tiny_model, updater_of

from mt.checkpoint import Checkpoints
from mt.config import BatchConfig, Precision, ScheduleConfig, ScheduleKind, TrainConfig
from mt.data.batching import BatchStream, TokenizedCorpus, Variation
from mt.data.training_links import read_links
from mt.errors import StoppedError
from mt.log import read_metrics
from mt.text.tokenizer import Tokenizer
from mt.train.attention_logging import TextAttentionLogger
from mt.train.guided_alignment import GuidedAlignment
from mt.train.objective import TranslationLoss
from mt.train.optim import Ema
from mt.train.trainer import Trainer
from mt.train.validate import Validator

LETTERS = "abcdefghij"
SETTINGS = (
    "data.src=x data.tgt=y tokenizer.vocab_size=40 tokenizer.byte_fallback=false tokenizer.tags=['<copy>','<turn>'] "
    "model.dim=32 model.heads=2 model.ffn_dim=64 model.encoder_layers=1 model.decoder_layers=1 "
    "model.dropout=0.0 loss.label_smoothing=0.0 batch.tokens=512 batch.max_length=32 batch.accumulate=2 "
    "optim=adamw optim.lr=1e-2 "
    "schedule.warmup_steps=20 train.minutes=null train.steps=200 train.validate_every=100 train.validate_pairs=10 "
    f"train.device=cpu train.threads={os.environ['OMP_NUM_THREADS']} train.precision=fp32 train.log_every=1 "
    "data.workers=0 alignment.weight=1 clean.drop_duplicates=true"
)
SIZES = {"train": 5000, "dev": 100}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Sequences to copy or to reverse, some of them twice, with their word links."""
    folder, draw = tmp_path_factory.mktemp("guided"), random.Random(1)
    for name, count in SIZES.items():
        lines: dict[str, list[str]] = {"in": [], "out": [], "links": []}
        for number in range(count):
            letters = draw.choices(LETTERS, k=draw.randint(3, 8))
            turn, last = number % 2, len(letters)
            lines["in"].append(f"{'<turn>' if turn else '<copy>'} {' '.join(letters)}")
            lines["out"].append(" ".join(letters[::-1] if turn else letters))
            lines["links"].append(" ".join(f"{last - j if turn else j + 1}-{j}" for j in range(last)))
        for suffix, texts in lines.items():
            (folder / f"{name}.{suffix}").write_text("".join(f"{text}\n" for text in texts))
    return folder


def command(name: str, *more: str) -> list[str]:
    files = ["data.train=[train.in,train.out]", "data.dev=[dev.in,dev.out]", "alignment.links=[train.links]"]
    return ["train", *files, *SETTINGS.split(), f"run.name={name}", *more]


def test_the_taught_head_follows_the_links_and_aligns_at_once(folder, run):
    trained = run(folder, *command("taught"))
    assert trained.returncode == 0, trained.stderr.decode()
    said = trained.stderr.decode()
    assert re.search(r"guided alignment: 2\d,\d{3} links supervise layer 1, head 1, read at the input", said)
    assert "duplicate" in said and " guided" not in re.findall(r"step \d+/.*", said)[-1]
    lines = read_metrics(folder / "runs/taught/metrics.jsonl")
    taught = [line["guided"] for line in lines if line["kind"] == "train"]
    assert taught[0] > 1.5 and taught[-1] < 0.3
    assert all(line["entropy_1"] < 2 for line in lines if line["kind"] == "dev")
    files = ["--source", "dev.in", "--target", "dev.out", "--gold", "dev.links", "--gold-base", "0"]
    aligned = run(folder, "align", "runs/taught", *files)
    assert aligned.returncode == 0, aligned.stderr.decode()
    assert "layer 1, head 1, read at the input" in aligned.stderr.decode()
    assert "agreement" not in aligned.stderr.decode() and "regularity" not in aligned.stderr.decode()
    found = re.match(r"AER ([\d.]+) ", aligned.stdout.decode())
    assert found and float(found[1]) < 4
    (folder / "runs/taught/model/alignment.json").unlink()  # removes the choice of the head
    assert run(folder, "translate", "runs/taught", "-i", "dev.in").returncode == 0


def test_a_wrong_file_of_links_is_one_sentence(folder, run):
    lines = (folder / "train.links").read_text().split("\n")
    (folder / "short.links").write_text("\n".join(lines[:77]) + "\n")
    refused = run(folder, *command("wrong", "alignment.links=[short.links]"))
    assert (refused.returncode, refused.stdout) == (3, b"")
    assert refused.stderr.decode().strip().split("\n")[-1] == (
        "mt train: `short.links` has 77 lines, but `train.in` has 5,000: both must have the same number of lines, "
        "because line N of one belongs to line N of the other."
    )


# ---------------------------------------------------------------- several processes


@pytest.fixture(scope="module")
def short(folder, tiny, numbers):
    """`short(name, ...)`: the command of a few updates on number words, with links in reverse order."""
    numbers(folder, "numbers", 160, seed=1)
    numbers(folder, "few", 12, seed=2)
    counts = [len(line.split()) for line in (folder / "numbers.en").read_text().split("\n")[:-1]]
    (folder / "numbers.links").write_text(
        "".join(" ".join(f"{n - 1 - j}-{j}" for j in range(n)) + "\n" for n in counts)
    )
    settings = (
        "data.train=[numbers.en,numbers.de] data.dev=[few.en,few.de] alignment.links=[numbers.links] "
        "alignment.weight=0.5 tokenizer.sampling=0.1 model.dropout=0.1 batch.tokens=128 batch.accumulate=2 "
        "batch.pool=60 optim.lr=5e-3 schedule.warmup_steps=8 train.ema=0.9 train.log_every=1 train.validate_every=8 "
        "train.steps=16"
    )
    return lambda name, *more: ["train", *tiny, *settings.split(), f"run.name={name}", *more]


def numbers_of(folder: Path) -> list[tuple]:
    keys = {"train": ("loss", "guided", "grad_norm"), "dev": ("loss", "bleu", "entropy_1")}
    return [
        (line["step"], *(line[key] for key in keys[line["kind"]])) for line in read_metrics(folder / "metrics.jsonl")
    ]


@pytest.mark.slow
def test_two_processes_teach_what_one_does_and_a_sharded_model_nearly_so(folder, short, run, start):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "mt"]
    alone = run(folder, *short("alone"))
    assert alone.returncode == 0, alone.stderr.decode()
    expected = numbers_of(folder / "runs/alone")
    for name, more in (("two", []), ("sharded", ["train.sharding=full"])):
        process = start.__globals__["Process"]([*torchrun, *short(name, *more)], folder)
        assert process.end() == 0, process.stderr.read_text()
    assert numbers_of(folder / "runs/two") == expected
    for mine, other in zip(numbers_of(folder / "runs/sharded"), expected, strict=True):
        assert mine == pytest.approx(other, rel=2e-2)


# ---------------------------------------------------------------- stopped and resumed

STEPS = 24


def make(folder: Path, *, workers: int = 0) -> Trainer:
    """Dropout, subword sampling, an EMA, three batches an update; links in reverse order."""
    pairs, tokenizer = number_pairs(30), Tokenizer.from_files(number_tokenizer().files(), sampling=0.3)
    texts = folder.parent / "numbers.tsv", folder.parent / "numbers.links"
    counts = [len(pair.src.split()) for pair in pairs]
    texts[0].write_text("".join(f"{pair.src}\t{pair.tgt}\n" for pair in pairs), encoding="utf-8")
    texts[1].write_text("".join(" ".join(f"{n - 1 - j}-{j}" for j in range(n)) + "\n" for n in counts))
    pairs = [
        pair.__class__(pair.src, pair.tgt, pair.origin.__class__(str(texts[0]), pair.origin.line)) for pair in pairs
    ]
    corpus = TokenizedCorpus(pairs, tokenizer)
    model, batch = tiny_model(dropout=0.1), BatchConfig(tokens=32, max_length=32, accumulate=3, pool=8)
    table = read_links([str(texts[1])], [str(texts[0])], corpus, src="en", tgt="de")
    objective = GuidedAlignment(
        TranslationLoss(model, precision=Precision.fp32, smoothing=0.1), corpus, table, layer=0, head=0, weight=0.5
    )
    updater = updater_of(model, guide=lambda translation: objective, ema=Ema(model, 0.5), clip_norm=1.0)
    attention = TextAttentionLogger(tokenizer, pairs[:2], max_length=32, guided=objective.heads)
    return Trainer(
        updater=updater,
        stream=BatchStream(corpus, batch, seed=1, variation=Variation(sampling=True), workers=workers),
        validator=Validator(
            corpus,
            lambda texts, on_progress: list(texts),
            precision=updater.precision,
            tokens=64,
            shown=pairs[:2],
            bleu_tokenizer="13a",
            attention=attention,
        ),
        checkpoints=Checkpoints(folder / "checkpoints", 2, objective.files()),
        train=TrainConfig(steps=STEPS, validate_every=5, log_every=1, keep=2),
        batch=batch,
        schedule=ScheduleConfig(name=ScheduleKind.cosine, warmup_steps=3),
    )


def run_to(folder: Path, *stops: int, workers: int = 0):
    """A run that is stopped after these updates, and resumed."""
    for stop in (*stops, None):
        torch.manual_seed(0)
        trainer = make(folder, workers=workers)
        saved = trainer.checkpoints.latest()
        if saved is not None:
            trainer.resume(saved)
        deal = trainer._next_batches

        def deal_or_stop(trainer=trainer, deal=deal, stop=stop):
            if trainer.state.step == stop:
                trainer.requests.signal = 15
            return deal()

        trainer._next_batches = deal_or_stop
        if stop is None:
            fit(trainer, folder)
        else:
            with pytest.raises(StoppedError, match=f"at step {stop}; its state is saved"):
                fit(trainer, folder)
        trainer.stream.close()
    return everything(trainer, folder)


def without_seconds(found):
    weights, (lines, *rest) = found
    return weights, [{name: value for name, value in line.items() if name != "seconds"} for line in lines], rest


@pytest.mark.parametrize("stops", [(7,), (10, 16)], ids=str)
def test_stopped_and_gone_on_it_is_to_the_bit_the_run_that_was_not(stops, tmp_path):
    weights, lines, _ = without_seconds(run_to(tmp_path / "unbroken"))
    assert len({line["guided"] for line in lines if line["kind"] == "train"}) == STEPS
    found = without_seconds(run_to(tmp_path / "stopped", *stops))
    assert all(torch.equal(found[0][name], tensor) for name, tensor in weights.items())
    assert found[1] == lines


@pytest.mark.slow
def test_it_does_not_matter_who_makes_the_batches(tmp_path):
    weights, lines, _ = without_seconds(run_to(tmp_path / "alone"))
    found = without_seconds(run_to(tmp_path / "worker", 9, workers=1))
    assert all(torch.equal(found[0][name], tensor) for name, tensor in weights.items())
    assert found[1] == lines
