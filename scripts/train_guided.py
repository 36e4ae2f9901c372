"""Trains an aligner: a translation model of which one head of the cross-attention is held to given word links.

    python scripts/train_guided.py --model runs/de-en/model --source train.de --target train.en --links train.links \\
        --layer 2 --head 1 --weight 0.3 --minutes 10 --out runs/de-en-guided/model

It goes on from a trained model, with a rate that falls to nothing at the end; `mt train alignment.links=[...]` teaches
one from the start. Links are Pharaoh lines `i-j` between
what stands between white space; they may be the model's own (`mt align`), another aligner's, or drawn by people.
"""

import argparse
import time
from pathlib import Path

import torch

from mt.batching import BatchStream, TokenizedCorpus
from mt.build import load
from mt.checkpoint import write_folder
from mt.config import BatchConfig, OptimConfig, Precision
from mt.corpus.lines import read_lines
from mt.corpus.pair import Origin, Pair
from mt.device import autocast
from mt.guided import Guide
from mt.interpret.align import Reading
from mt.interpret.aligner import FILE, to_file
from mt.interpret.choose import Choice
from mt.interpret.gold import read_gold
from mt.losses import cross_entropy
from mt.models import read_model
from mt.optim import make_optimizer, set_rate


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "source", "target", "links", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--layer", type=int, required=True, help="counted from 0")
    parser.add_argument("--head", type=int, required=True, help="counted from 0")
    parser.add_argument("--weight", type=float, default=0.3, help="of the guided loss beside the translation's")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--turned", action="store_true", help="the links' first number is the target's")
    parser.add_argument("--precision", default="auto")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    torch.manual_seed(1)
    translator = load(asked.model, precision=asked.precision)
    model, tokenizer = translator.stepper.model, translator.tokenizer
    precision: Precision = translator.stepper.precision
    lines = zip(read_lines(asked.source), read_lines(asked.target), strict=True)
    pairs = [Pair(s, t, Origin(str(n), n)) for n, (s, t) in enumerate(lines)]
    gold = read_gold(list(read_lines(asked.links)), base=0, path=asked.links)
    links = [{(j, i) for i, j in drawn.sure} if asked.turned else drawn.sure for drawn in gold]
    filled = [n for n, pair in enumerate(pairs) if pair.src.strip() and pair.tgt.strip()]
    corpus = TokenizedCorpus([pairs[n] for n in filled], tokenizer, max_length=translator.max_length)
    stream = BatchStream(corpus, BatchConfig(tokens=asked.tokens, max_length=translator.max_length), seed=1)
    guide = Guide(model, tokenizer, layer=asked.layer, head=asked.head)
    optimizer = make_optimizer(model, OptimConfig(lr=asked.lr))
    model.train()
    begin, step = time.monotonic(), 0
    while (done := (time.monotonic() - begin) / 60 / asked.minutes) < 1:
        batch = next(stream)
        owned = [corpus.pairs[i] for i in batch.indices]
        source = [rows.tolist() for rows in batch.source.split(batch.source_rows.lengths.tolist())]
        target = [rows.tolist()[1:] for rows in batch.target_in.split(batch.target_rows.lengths.tolist())]
        taught = [links[pair.origin.line] for pair in owned]
        lesson = guide.lesson([(pair.src, pair.tgt) for pair in owned], taught, source, target)
        with autocast(batch.source.device, precision), guide.teach(lesson) as heard:
            hidden = model(batch.source, batch.source_rows, batch.target_in, batch.target_rows)
        assert heard.loss is not None
        loss = cross_entropy(hidden, model.out_weight, batch.target_out, 0.1)
        rows = batch.target_rows.num_rows
        ((loss.smoothed + asked.weight * heard.loss) / rows).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        set_rate(optimizer, asked.lr * min(1, (step + 1) / 100) * (1 - done))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % 50 == 0:
            taught_rows = len(lesson.rows.unique())
            print(
                f"step {step}  epoch {stream.epoch:.2f}  nll {loss.nll.item() / rows:.3f}  "
                f"guided {heard.loss.item() / taught_rows:.3f} nats a row",
                flush=True,
            )
    folder = read_model(asked.model).path
    names = ["config.json", "tokenizer.model", "source.model", "target.model"]
    files = {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}
    choice = Choice(Reading(asked.layer, (asked.head,), True), "guided", asked.weight, len(corpus))
    weights = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}
    write_folder(asked.out, {**files, "model.safetensors": weights, FILE: to_file(choice)}, replace=True)


if __name__ == "__main__":
    main()
