"""The report of a dry run: data, model size, memory and time of a run that is not started."""

import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from mt.compute.device import pick_precision
from mt.config import BatchConfig, OptimConfig, TrainConfig
from mt.data.batching import BatchStream, TokenizedCorpus
from mt.data.batching.store import TokenLists
from mt.data.clean.rules import describe
from mt.errors import counted
from mt.nn.transformer import Transformer, count_parameters
from mt.progress import duration
from mt.text.lines import spread
from mt.text.tokenizer import Tokenizer
from mt.train.gradients import EagerGradients
from mt.train.objective import TranslationLoss
from mt.train.optim import make_optimizer
from mt.train.step import Updater

BINS = (5, 10, 15, 20, 30, 40, 60, 80, 120, 180, 256)
TIMED_STEPS = 3
BAR = 40


def histogram(lengths: Sequence[int]) -> str:
    """A bar chart of sentence lengths in pieces."""
    tops = [*BINS, max(max(lengths), BINS[-1] + 1)]
    counts = Counter(next(top for top in tops if length <= top) for length in lengths)
    most = max(counts.values())
    bars = {top: "#" * round(BAR * counts[top] / most) for top in tops if counts[top]}
    return "\n".join(f"  <= {top:>5,}  {counts[top]:>9,}  {bar}" for top, bar in bars.items())


def _vocabulary(corpus: TokenizedCorpus) -> str:
    """How many pieces there are, of each side where each has its own."""
    tokenizer, text = corpus.tokenizer, isinstance(corpus.source, TokenLists)
    pieces = f"{tokenizer.tgt_size:,} pieces"
    return pieces if tokenizer.joint or not text else f"{tokenizer.src_size:,} and {pieces}"


def examples(corpus: TokenizedCorpus, number: int = 3) -> str:
    """Pairs in pieces, spread over the corpus."""
    tokenizer, source = corpus.tokenizer, corpus.source

    def shown(i: int) -> str:
        return " ".join(tokenizer.pieces_source(source[i])) if isinstance(source, TokenLists) else corpus.pairs[i].src

    return "\n\n".join(
        f"  {shown(i)}\n  {' '.join(tokenizer.pieces_target(corpus.target[i]))}" for i in spread(len(corpus), number)
    )


def unknown_rate(corpus: TokenizedCorpus, tokenizer: Tokenizer) -> float:
    """The fraction of tokens that are the unknown piece."""
    source, target = corpus.source, corpus.target
    unknown, of = target.count_token(tokenizer.unk), corpus.num_target_rows - len(corpus)
    if isinstance(source, TokenLists):
        unknown, of = unknown + source.count_token(tokenizer.unk), of + corpus.num_source_rows
    return unknown / of


def seconds_per_step(
    model: Transformer, corpus: TokenizedCorpus, batch: BatchConfig, train: TrainConfig, optim: OptimConfig
) -> float:
    """The time of one update, measured on the first batches. Changes the weights of the model."""
    device = next(model.parameters()).device
    precision = pick_precision(train.precision, device)
    objective = TranslationLoss(model, precision=precision, smoothing=0.1)
    updater = Updater(EagerGradients(objective), make_optimizer(model, optim, precision), clip_norm=1.0)
    stream = BatchStream(corpus, batch, seed=train.seed)
    times = []
    for _ in range(TIMED_STEPS):
        started = time.perf_counter()
        updater([next(stream) for _ in range(batch.accumulate)], lr=1e-6).read()
        times.append(time.perf_counter() - started)
    return min(times)


def preview(
    corpus: TokenizedCorpus,
    refusals: dict[str, int],
    model: Transformer,
    batch: BatchConfig,
    train: TrainConfig,
    optim: OptimConfig,
    validation: str,
) -> str:
    """Args: train: with numbers for `auto`; validation: what each computes, in words."""
    parameters = count_parameters(model)
    mebibytes = 16 * parameters / 2**20  # weights, gradients, at most two moments in 32 bits, no activations
    tokens = corpus.num_target_rows
    steps = max(1.0, max(tokens, corpus.num_source_rows) / (batch.budget * batch.accumulate))
    seconds = seconds_per_step(model, corpus, batch, train, optim)
    limits = {
        "steps": None if train.steps is None else train.steps * seconds,
        "epochs": None if train.most_epochs is None else train.most_epochs * steps * seconds,
        "minutes": None if train.minutes is None else train.minutes * 60,
    }
    given = {name: limit for name, limit in limits.items() if limit is not None}
    ends = min(given, key=lambda name: given[name]) if given else None
    total = f"about {duration(given[ends])} to the limit of {ends}" if ends else "no limit but patience"
    device = next(model.parameters()).device
    lengths = np.maximum(corpus.source.lengths(), corpus.target.lengths() + 1).tolist()
    return f"""\
training pairs   {len(corpus):,} used; read {refusals.get("read", 0):,}, removed {describe(refusals)}
too long         {counted(corpus.num_too_long, "pair")} of more than {batch.max_length} {corpus.unit} on a side left out
tokens           {corpus.num_source_rows:,} source and {tokens:,} target an epoch, end marks included
unknown pieces   {unknown_rate(corpus, corpus.tokenizer):.4%}
vocabulary       {_vocabulary(corpus)}
model            {parameters:,} parameters, {mebibytes:,.0f} MiB with gradients and moments
device           {device}, {pick_precision(train.precision, device).value}, {counted(torch.get_num_threads(), "thread")}
time             about {counted(round(steps), "step")} an epoch, {seconds:.2f} s a step; {total}
validation       {validation}

lengths in {corpus.unit}, the longer side of a pair:
{histogram(lengths)}

examples:

{examples(corpus)}
"""
