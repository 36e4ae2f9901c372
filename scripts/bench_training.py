"""Training speed here, and the time of each part of an update.

    python scripts/bench_training.py data=multi30k_en_de data.root=DIR tokenizer=bpe tokenizer.vocab_size=8000 \\
        batch.tokens=4096 model=small train.precision=bf16

Takes the settings of `mt train`. The text is real, and read before timing starts. Prints target and source tokens a
second (end marks counted, no padding), the used share of the token budget, peak memory, the loss, and model FLOP
utilisation:

    MFU = 6 * (encoder weights * source tokens + (decoder + output weights) * target tokens) / seconds / peak FLOP/s

where weights are those of linear layers (2 FLOP a weight and token forward, 4 backward; attention products, norms and
embeddings are not counted), and the peak is that of a square matrix product timed here in the same precision.

Rates are those of the trainer's own update. Milliseconds by part come from separate steps, with the clock stopped
between the parts. The machine must be idle: one busy process beside it halves the rate.

`--without blocks onednn allocator` turns off one or more of the CPU's measures, to show the gain of each.
"""

import argparse
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mistakes import run_script
from torch import nn

import mt.compute.device
import mt.compute.matmul
import mt.data.batching.blocks
from mt.build import make_model, prepare_data
from mt.cli.compose import compose
from mt.compute.device import autocast, autocast_dtype, pick_device, pick_precision, set_up_cpu
from mt.compute.matmul import multiply
from mt.config import Config, Precision
from mt.data.batching import Batch, BatchStream, Variation
from mt.data.prepare import PreparedData
from mt.nn.losses import cross_entropy
from mt.nn.transformer import Transformer, count_parameters
from mt.train.acceleration.choose import accelerate
from mt.train.gradients import EagerGradients
from mt.train.objectives import make_objective
from mt.train.optim import Ema, make_optimizer
from mt.train.step import Updater

WARM_UP, COUNTED, PARTED = 10, 40, 10


def linear_weights(module: nn.Module) -> int:
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))


def flops(model: Transformer, src_tokens: int, tgt_tokens: int) -> float:
    """FLOP of one update. Keys and values of cross-attention are counted with the decoder, for target tokens."""
    decoder = linear_weights(model.decoder) + model.out_weight.numel()
    return 6.0 * (linear_weights(model.encoder) * src_tokens + decoder * tgt_tokens)


def peak_flops(device: torch.device, dtype: torch.dtype, size: int = 2048) -> float:
    """The best rate of several square matrix products."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    times = []
    for _ in range(6):
        synchronise(device)
        started = time.perf_counter()
        multiply(a, a)
        synchronise(device)
        times.append(time.perf_counter() - started)
    return 2 * size**3 / min(times)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Clock:
    """Milliseconds by part of a step."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.parts: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        synchronise(self.device)
        self.parts[name].append(1000 * (time.perf_counter() - started))

    def counted(self) -> dict[str, list[float]]:
        return {name: values[WARM_UP:] for name, values in self.parts.items()}


def leave_out(measures: list[str]) -> None:
    """Turn off CPU measures: batches of whole blocks, oneDNN for products in 32 bits, memory kept by the allocator."""
    if "blocks" in measures:
        mt.data.batching.blocks.WORTH_IT = 1 << 60
    if "onednn" in measures:
        mt.compute.matmul.onednn_is_faster = lambda: False
    if "allocator" in measures:
        mt.compute.device.platform.libc_ver = lambda: ("unknown", "")


def make_updater(config: Config, prepared: PreparedData, model: Transformer, precision: Precision) -> Updater:
    """The update of `mt train`, without a trainer around it."""
    eager = EagerGradients(make_objective(config, prepared, model, precision))
    return Updater(
        accelerate(eager, config.train, config.batch, prepared.train),
        make_optimizer(model, config.optim, precision),
        clip_norm=config.optim.clip_norm,
        ema=Ema(model, config.train.ema) if config.train.ema else None,
    )


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description="How fast does a model train here?", allow_abbrev=False)
    parser.add_argument("--without", nargs="+", default=[], choices=("blocks", "onednn", "allocator"))
    args, overrides = parser.parse_known_args(argv)
    leave_out(args.without)
    config = compose(overrides)
    device = pick_device(config.train.device)
    set_up_cpu(config.train.threads)
    precision = pick_precision(config.train.precision, device)
    prepared = prepare_data(config)
    model = make_model(config, prepared, device).train()
    updater = make_updater(config, prepared, model, precision)
    sampling = config.tokenizer.sampling > 0
    stream = BatchStream(prepared.train, config.batch, seed=config.train.seed, variation=Variation(sampling=sampling))
    whole = Clock(device)
    batches, losses = list[Batch](), list[float]()
    for step in range(WARM_UP + COUNTED):
        with whole.part("step"):
            batches.append(next(stream))
            update = updater([batches[-1]], config.optim.lr * min(1.0, (step + 1) / WARM_UP))
        losses.append(update.read().nll)
    memory = peak_memory(device)
    parts = Clock(device)
    for _ in range(WARM_UP + PARTED):
        step_by_parts(updater, stream, parts, config)
    stream.close()
    print(
        f"{device}, {precision.value}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"{count_parameters(model):,} parameters"
    )
    seconds = [ms / 1000 for ms in whole.counted()["step"]]
    report(model, seconds, batches[WARM_UP:], config.batch.budget, peak_flops(device, autocast_dtype(precision)))
    print(f"peak memory       {memory:.2f} GiB")
    print(f"loss              {statistics.mean(losses[-10:]):.3f} nats a target token, mean of the last ten updates")
    for name, values in parts.counted().items():
        print(f"  {name:<10} {statistics.median(values):8.1f} ms")


def step_by_parts(updater: Updater, stream: BatchStream, clock: Clock, config: Config) -> None:
    """An update like the trainer's, one part after the other."""
    model, precision, dtype = updater.model, updater.precision, autocast_dtype(updater.precision)
    with clock.part("data"):
        batch = next(stream).to(updater.device)
    with clock.part("forward"), autocast(updater.device, precision):
        hidden = model(batch.source, batch.target_in, batch.target_layout)
    with clock.part("loss"):
        loss = cross_entropy(hidden.to(dtype), model.out_weight, batch.target_out, config.loss.label_smoothing)
    with clock.part("backward"):
        (loss.smoothed / batch.target_layout.num_rows).backward()
    with clock.part("optimiser"):
        nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip_norm or float("inf"))
        updater.optimizer.step()
        updater.optimizer.zero_grad(set_to_none=True)


def peak_memory(device: torch.device) -> float:
    """In GiB: of the process on a CPU, of the device's allocator on CUDA."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def report(model: Transformer, seconds: list[float], batches: list[Batch], budget: int, peak: float) -> None:
    src = [batch.source.layout.num_rows for batch in batches]
    tgt = [batch.target_layout.num_rows for batch in batches]
    rates = [t / s for t, s in zip(tgt, seconds, strict=True)]
    used = [flops(model, s, t) / x / peak for s, t, x in zip(src, tgt, seconds, strict=True)]
    print(
        f"target tokens/s   median {statistics.median(rates):,.0f}   best {max(rates):,.0f}   worst {min(rates):,.0f}"
    )
    print(f"source+target     {(sum(src) + sum(tgt)) / sum(seconds):,.0f} tokens/s over all {len(batches)} steps")
    print(f"packing           {statistics.mean(tgt) / budget:.1%} of the budget of {budget:,} target tokens")
    print(f"MFU               {statistics.median(used):.1%} of {peak / 1e12:.2f} TFLOP/s")


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
