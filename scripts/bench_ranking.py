"""Pairs that `mt rank` scores in a second of processor time, beside passes that compute everything for every pair.

    python scripts/bench_ranking.py runs/flickr8k_captions --sources data/flickr8k/test.tsv \\
        --targets data/flickr8k/captions.txt [--num-sources 10] [--num-targets 1000] [--rounds 5]

Both ways take turns on one thread, and the fastest round of each counts, so that other programs disturb them alike.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from mistakes import run_script
from torch import Tensor

from mt.checkpoint.model_folder import table_columns
from mt.cli.rank import sources_in, targets_in
from mt.compute.device import set_up_cpu
from mt.decode.load import load
from mt.decode.rerank.rank import likelihoods
from mt.decode.translator import Translator
from mt.nn.forced import token_log_probs
from mt.nn.ragged import Ragged, cut, pack
from mt.nn.source import Memory


def pair_by_pair(translator: Translator, sources: Sequence[str], targets: Sequence[str]) -> Tensor:
    """Each source's memory is repeated for all targets, and so are its keys and values in each layer."""
    bos, eos = translator.tokenizer.bos, translator.tokenizer.eos
    ids = translator.tokenizer.encode_target(list(targets))
    sizes = [len(one) + 1 for one in ids]
    order = sorted(range(len(ids)), key=sizes.__getitem__)
    found = torch.empty(len(sources), len(ids))
    with torch.inference_mode(), translator.stepper.prepared() as model:
        for number, item in enumerate(translator.encode_sources(sources)):
            memory = model.encode(model.encoder.pack([item]))
            rows = memory.layout.num_rows
            for batch in cut(order, translator.section.batch_tokens, sizes, [rows] * len(ids)):
                inputs, layout = pack([[bos, *ids[i]] for i in batch])
                expected, _ = pack([[*ids[i], eos] for i in batch])
                repeated = Memory(memory.rows.repeat(len(batch), 1), Ragged.from_lengths([rows] * len(batch)))
                log_probs = token_log_probs(model, model.decode(inputs, layout, repeated), expected)
                found[number, batch] = torch.stack([part.sum() for part in log_probs.split(layout.lengths.tolist())])
    return found


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--sources", required=True)
    parser.add_argument("--targets", required=True)
    parser.add_argument("--num-sources", type=int, default=10)
    parser.add_argument("--num-targets", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    set_up_cpu(1)
    inputs, target = table_columns(args.model)
    sources = [text for text, _ in sources_in(args.sources, inputs)[: args.num_sources]]
    targets = [text for text, _ in targets_in(args.targets, inputs, target)[: args.num_targets]]
    translator = load(args.model, device="cpu", precision=args.precision)
    ways: dict[str, Callable[[], Tensor]] = {
        "everything for every pair": lambda: pair_by_pair(translator, sources, targets),
        "mt rank": lambda: likelihoods(translator, sources, targets).log_probs,
    }
    first, second = (way() for way in ways.values())
    print(f"largest difference of a log-probability: {(first - second).abs().max():.4f} nats")
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(args.rounds):
        best = {name: min(best[name], seconds(way)) for name, way in ways.items()}
    for name, took in best.items():
        pairs = len(sources) * len(targets)
        print(f"{name}: {pairs:,} pairs in {took:.2f} s, {pairs / took:,.0f} a second")


if __name__ == "__main__":
    run_script(main)
