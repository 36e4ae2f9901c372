"""How fast does a model train here, and where does the time go?

    python scripts/bench_training.py data=multi30k_en_de data.root=DIR tokenizer=bpe tokenizer.vocab_size=8000 \\
        batch.tokens=4096 model=small train.precision=bf16

Takes the settings of `mt train`. Text is real, and read before the clock starts. Prints target and source tokens a
second (end marks counted, there is no padding), milliseconds by part, the share of the token budget that is used, peak
memory and model FLOP utilisation:

    MFU = 6 * (encoder weights * source tokens + (decoder + output weights) * target tokens) / seconds / peak FLOP/s

where weights are those of linear layers (2 FLOP a weight and token forward, 4 backward; attention products, norms and
embeddings are not counted), and the peak is that of a square matrix product timed here in the same precision. The
machine must be idle: one busy neighbour halves the figure.
"""

import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mt.batching import Batch, BatchStream
from mt.build import make_model, read_material
from mt.cli.compose import compose
from mt.device import autocast, autocast_dtype, pick_device, pick_precision, set_up_cpu
from mt.losses import cross_entropy
from mt.nn.transformer import Transformer, count_parameters
from mt.optim import make_optimizer

WARM_UP, COUNTED = 10, 40


def linear_weights(modules: nn.Module) -> int:
    return sum(m.weight.numel() for m in modules.modules() if isinstance(m, nn.Linear))


def flops(model: Transformer, src_tokens: int, tgt_tokens: int) -> float:
    """Of one update. Keys and values of cross-attention are made of source rows, but counted with the decoder."""
    decoder = linear_weights(model.decoder) + model.out_weight.numel()
    return 6.0 * (linear_weights(model.encoder) * src_tokens + decoder * tgt_tokens)


def peak_flops(device: torch.device, dtype: torch.dtype, size: int = 2048) -> float:
    """The best of some square matrix products."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    times = []
    for _ in range(6):
        synchronise(device)
        started = time.perf_counter()
        a @ a
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


def main(overrides: list[str]) -> None:
    config = compose(overrides)
    device = pick_device(config.train.device)
    set_up_cpu(config.train.threads)
    precision = pick_precision(config.train.precision, device)
    dtype = autocast_dtype(precision)
    material = read_material(config)
    model = make_model(config, material.tokenizer, device).train()
    optimizer = make_optimizer(model, config.optim)
    stream = BatchStream(material.train, config.batch, seed=config.train.seed, sampling=config.tokenizer.sampling > 0)
    clock, batches = Clock(device), list[Batch]()
    for _ in range(WARM_UP + COUNTED):
        with clock.part("data"):
            batch = next(stream).to(device)
        with clock.part("forward"), autocast(device, precision):
            hidden = model(batch.source, batch.source_rows, batch.target_in, batch.target_rows)
        with clock.part("loss"):
            loss = cross_entropy(hidden.to(dtype), model.out_weight, batch.target_out, config.loss.label_smoothing)
        with clock.part("backward"):
            (loss.smoothed / batch.target_rows.num_rows).backward()
        with clock.part("optimiser"):
            nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip_norm or float("inf"))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        batches.append(batch)
    report(
        model, clock, batches[WARM_UP:], config.batch.tokens, f"{device}, {precision.value}", peak_flops(device, dtype)
    )


def report(model: Transformer, clock: Clock, batches: list[Batch], budget: int, where: str, peak: float) -> None:
    parts = clock.counted()
    seconds = [sum(step) / 1000 for step in zip(*parts.values(), strict=True)]
    src = [batch.source_rows.num_rows for batch in batches]
    tgt = [batch.target_rows.num_rows for batch in batches]
    rates = [t / s for t, s in zip(tgt, seconds, strict=True)]
    used = [flops(model, s, t) / x / peak for s, t, x in zip(src, tgt, seconds, strict=True)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if torch.cuda.is_available():
        memory = torch.cuda.max_memory_allocated() / 2**30
    print(
        f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}, {count_parameters(model):,} parameters"
    )
    print(
        f"target tokens/s   median {statistics.median(rates):,.0f}   best {max(rates):,.0f}   worst {min(rates):,.0f}"
    )
    print(f"source+target     {(sum(src) + sum(tgt)) / sum(seconds):,.0f} tokens/s over all {len(batches)} steps")
    print(f"packing           {statistics.mean(tgt) / budget:.1%} of the budget of {budget:,} target tokens")
    print(f"MFU               {statistics.median(used):.1%} of {peak / 1e12:.2f} TFLOP/s")
    print(f"peak memory       {memory:.2f} GiB")
    for name, values in parts.items():
        print(f"  {name:<10} {statistics.median(values):8.1f} ms")


if __name__ == "__main__":
    main(sys.argv[1:])
