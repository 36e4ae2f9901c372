"""The rate of batches, and their share of a training step.

    python scripts/bench_data.py data.train='[a.de,a.en]' tokenizer=bpe tokenizer.vocab_size=8000 batch.tokens=4096 \\
        [--rate 900000] [--seconds 10] [--workers 0,1,2]

Takes the settings of `mt train`, and builds no model. First the start: reading, cleaning and tokenising with an empty
cache (cold), then again with the cache (warm). Then the stream alone, without and with sampling (`tokenizer.sampling`,
0.1 where that is 0), for each number of workers: pairs and target tokens a second, CPU seconds of the main process per
million target tokens, the longest wait for one batch, and the share of a step on a device of `--rate` target tokens a
second: the time of the main process for a batch where the workers keep up, the whole deficit where they do not. Peak
memory is that of this process and of its largest worker; pages of the mapped table count, though the system can reclaim
them.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from mistakes import run_script

from mt.build import prepare_data
from mt.cli.compose import compose
from mt.config import Config
from mt.data.batching import BatchStream, TokenizedCorpus, Variation
from mt.text.tokenizer import Tokenizer

MIB = 2**20


@dataclass(frozen=True)
class Flow:
    """Measurements of a stream."""

    first: float  # seconds until the first batch, including the start of workers
    seconds: float  # of the rest
    cpu: float  # seconds of the main process, of the rest
    wait: float  # the longest for one batch
    pairs: int
    tgt_tokens: int


def measure(stream: BatchStream, seconds: float) -> Flow:
    started = time.perf_counter()
    next(stream)
    begun, cpu = time.perf_counter(), time.process_time()
    pairs = tgt_tokens = 0
    wait, now = 0.0, begun
    while now - begun < seconds:
        batch = next(stream)
        before, now = now, time.perf_counter()
        wait = max(wait, now - before)
        pairs += len(batch.indices)
        tgt_tokens += batch.target_layout.num_rows
    return Flow(begun - started, now - begun, time.process_time() - cpu, wait, pairs, tgt_tokens)


def start(config: Config, cache: Path) -> tuple[TokenizedCorpus, float]:
    """The training text, with seconds of CPU."""
    cpu = time.process_time()
    data = replace(config.data, cache=str(cache))
    return prepare_data(replace(config, data=data)).train, time.process_time() - cpu


def peak_of_workers() -> float:
    """MiB, of the largest that lives now."""
    peaks = [0]
    for child in multiprocessing.active_children():
        path = Path(f"/proc/{child.pid}/status")
        if path.exists():
            lines = path.read_text(encoding="utf-8").split("\n")
            peaks += [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return max(peaks) / 1024


def own_peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--rate", type=float, default=900_000, help="target tokens a second of the device to feed")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--workers", default="0,1,2", help="numbers of workers, with commas")
    args = parser.parse_intermixed_args()
    config = compose(args.overrides)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cold", "warm"):
            corpus, cpu = start(config, Path(folder))
            print(f"start, {name} cache  {cpu:6.2f} s of CPU, peak {own_peak():,.0f} MiB")
        table = sum(path.stat().st_size for path in Path(folder).glob("corpora/*/*"))
        print(
            f"corpus             {len(corpus):,} pairs, {corpus.num_target_rows:,} target tokens, "
            f"{table / MIB:,.1f} MiB on disk\n"
        )
        print("sampling  workers   first s    pairs/s   target tok/s  CPU s/M tok  longest wait ms   of a step   peak")
        for sampling in (0.0, config.tokenizer.sampling or 0.1):
            corpus.tokenizer = Tokenizer.from_files(corpus.tokenizer.files(), sampling=sampling)
            for number in map(int, args.workers.split(",")):
                report(corpus, config, sampling, number, args.seconds, args.rate)


def report(corpus: TokenizedCorpus, config: Config, sampling: float, number: int, seconds: float, rate: float) -> None:
    """One line of the table."""
    stream = BatchStream(corpus, config.batch, seed=1, variation=Variation(sampling=sampling > 0), workers=number)
    flow = measure(stream, seconds)
    workers = f", workers {peak_of_workers():,.0f}" if number else ""
    stream.close()
    flowing = flow.tgt_tokens / flow.seconds
    busy = flow.cpu / flow.tgt_tokens  # seconds of the main process per token
    late = max(0.0, 1 / flowing - 1 / rate) if number else 1 / flowing
    share = max(busy, late) / (max(busy, late) + 1 / rate)
    print(
        f"{sampling:8.2f}  {number:7}  {flow.first:8.2f}  {flow.pairs / flow.seconds:9,.0f}  {flowing:13,.0f}  "
        f"{1e6 * busy:11.3f}  {1000 * flow.wait:15.1f}  {share:10.1%}   {own_peak():,.0f}{workers} MiB"
    )


if __name__ == "__main__":
    run_script(main)
