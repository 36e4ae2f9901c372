"""Small experiments with attention, for docs/attention.md; each takes minutes.

    python scripts/attention_lab.py measure RUN_OR_MODEL... --source dev.en --target dev.es [--svg maps.svg]
    python scripts/attention_lab.py noise --source train.en --target train.es --out DIR --shares 0 0.2 0.5
    python scripts/attention_lab.py length

`measure` prints a row for each model, or with `--checkpoints` a row for each checkpoint of a run, to show how attention
becomes an alignment during training (keep all checkpoints with `train.keep=99`). `noise` writes training texts in which
a share of the sentences has the translation of another sentence. `length` times attention for several sentence lengths.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from mistakes import run_script

from mt.alignment.choose_heads import choose_by_regularity
from mt.alignment.heads import AlignmentHeads, hard_links, head_mean, word_maps
from mt.alignment.observe import Observation, observe
from mt.alignment.pharaoh import Gold, compare, read_gold
from mt.compute.device import set_up_cpu
from mt.compute.matmul import Linear
from mt.decode.load import load
from mt.interpret.contribution import contributions
from mt.interpret.heat_maps import HeatMaps
from mt.nn.attention import attend
from mt.nn.ragged import Ragged
from mt.text.lines import read_lines
from mt.train.attention_logging import entropies

SETTINGS = argparse.RawDescriptionHelpFormatter


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=SETTINGS)
    verbs = parser.add_subparsers(dest="verb", required=True)
    measuring = verbs.add_parser("measure")
    measuring.add_argument("models", type=Path, nargs="+")
    measuring.add_argument("--checkpoints", action="store_true", help="a row for each checkpoint of a run")
    measuring.add_argument("--gold", type=Path, help="word links of the pairs, counted from 0, of tokenised text")
    measuring.add_argument("--pairs", type=int, default=300)
    measuring.add_argument("--show", type=int, default=1, metavar="LINE", help="the pair to draw")
    measuring.add_argument("--svg", type=Path, help="the maps of one pair, one model beside the other")
    noise = verbs.add_parser("noise")
    noise.add_argument("--shares", type=float, nargs="+", default=[0, 0.2, 0.5])
    noise.add_argument("--out", type=Path, required=True)
    for verb in (measuring, noise):
        verb.add_argument("--source", type=Path, required=True)
        verb.add_argument("--target", type=Path, required=True)
    length = verbs.add_parser("length")
    length.add_argument("--lengths", type=int, nargs="+", default=[16, 32, 64, 128, 256, 512, 1024, 2048])
    length.add_argument("--dim", type=int, default=256)
    length.add_argument("--heads", type=int, default=4)
    return parser.parse_args()


# ---- measures of attention -----------------------------------------------------------------------------------


def measure(args: argparse.Namespace) -> None:
    sources, targets = (list(read_lines(path))[: args.pairs] for path in (args.source, args.target))
    gold = read_gold(list(read_lines(args.gold))[: args.pairs], base=0, path=args.gold) if args.gold else []
    print(
        "| model | entropy by layer, bits | end mark | best heads | regularity, nats a link | AER "
        "| lost, words shuffled | lost, source dropped |\n|---|---|---|---|---|---|---|---|"
    )
    drawn: list[tuple[str, torch.Tensor, Observation]] = []
    for name, path in places(args.models, args.checkpoints):
        translator = load(path, device="cpu", precision="fp32")
        model, tokenizer = translator.stepper.model, translator.tokenizer
        longest = translator.max_length
        seen = list(observe(model, tokenizer, sources, targets, max_length=longest, by_spaces=args.gold is not None))
        owed = contributions(model, tokenizer, seen)
        lost = [statistics.fmean(x for row in rows for x in row)
                for rows in ([one.shuffled for one in owed], [one.dropped for one in owed])]  # fmt: skip
        maps = [word_maps(one) for one in seen]
        choice = choose_by_regularity(maps, [(one.source.word_texts, one.target.word_texts) for one in seen])
        cross = [one.maps.cross for one in seen]
        bits, ends = entropies(cross), torch.cat([weights[..., -1].flatten() for weights in cross]).mean()
        print(
            f"| {name} | {', '.join(f'{b:.2f}' for b in bits)} | {ends:.0%} | {choice.heads.describe()} | "
            f"{choice.score:.2f} | {aer_of(maps, choice.heads, gold)} | {lost[0]:.2f} | {lost[1]:.2f} |",
            flush=True,
        )
        drawn.append((name, head_mean(maps[args.show - 1], choice.heads), seen[args.show - 1]))
    if args.svg:
        draw(drawn, args.svg)


def places(models: Sequence[Path], checkpoints: bool) -> Iterator[tuple[str, Path]]:
    for path in models:
        for folder in sorted(path.glob("checkpoints/step-*")) if checkpoints else [path]:
            step = folder.name.removeprefix("step-")
            yield f"step {int(step):,}" if step.isdigit() else folder.name, folder


def aer_of(maps: Sequence[torch.Tensor], heads: AlignmentHeads, gold: Sequence[Gold]) -> str:
    return f"{100 * compare([hard_links(head_mean(m, heads)) for m in maps], gold).aer:.1f}" if gold else ""


def draw(drawn: Sequence[tuple[str, torch.Tensor, Observation]], path: Path) -> None:
    names, maps, (seen, *_) = zip(*drawn, strict=True)
    source, target = ([word.lower() for word in side.word_texts] for side in (seen.source, seen.target))
    path.write_text(HeatMaps(source, target, names).svg(torch.stack(maps)), encoding="utf-8", newline="\n")


# ---- noise --------------------------------------------------------------------------------------------------


def noise(args: argparse.Namespace) -> None:
    """Write files in which a share of the targets is permuted; the sources stay."""
    sources, targets = (list(read_lines(path)) for path in (args.source, args.target))
    args.out.mkdir(parents=True, exist_ok=True)
    for share in args.shares:
        moved = misaligned(targets, share, random.Random(1))
        for lines, file in ((sources, args.source), (moved, args.target)):
            language = file.name.removesuffix(".gz").rsplit(".", 1)[-1]
            text = "".join(f"{line}\n" for line in lines)
            (args.out / f"noise{round(100 * share)}.{language}").write_text(text, encoding="utf-8", newline="\n")


def misaligned(targets: Sequence[str], share: float, draw: random.Random) -> list[str]:
    """Each chosen line gets the target of the next chosen line, so no chosen line keeps its own."""
    chosen = draw.sample(range(len(targets)), round(share * len(targets)))
    moved = list(targets)
    for i, j in zip(chosen, chosen[1:] + chosen[:1], strict=True):
        moved[i] = targets[j]
    return moved


# ---- length -------------------------------------------------------------------------------------------------


def length(args: argparse.Namespace) -> None:
    """One layer's attention, forward and backward, with a fixed total of tokens."""
    set_up_cpu(1)
    size, tokens = args.dim // args.heads, max(args.lengths)
    product = Linear(args.dim, args.dim)
    print("| length | sentences | attention, µs a token | scores, MiB | the four products beside it, µs a token |")
    print("|---|---|---|---|---|")
    for rows in args.lengths:
        sentences = tokens // rows
        ragged = Ragged.from_lengths([rows] * sentences)
        q = torch.randn(tokens, args.heads, size, requires_grad=True)
        kv = torch.randn(tokens, 2, args.heads, size, requires_grad=True)
        x = torch.randn(tokens, args.dim, requires_grad=True)
        mixing = least(lambda q=q, kv=kv, ragged=ragged: attend(q, kv, queries=ragged, keys=ragged).sum().backward())
        beside = least(lambda x=x: product(x).sum().backward()) * 4
        scores = sentences * args.heads * rows**2 * 4 / 2**20
        print(f"| {rows:,} | {sentences} | {mixing / tokens * 1e6:.2f} | {scores:.1f} | {beside / tokens * 1e6:.2f} |")


def least(work: Callable[[], object], times: int = 7) -> float:
    """Seconds of processor time, the minimum of several runs."""
    found = []
    for _ in range(times):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def main() -> None:
    args = parse()
    torch.manual_seed(1)
    {"measure": measure, "noise": noise, "length": length}[args.verb](args)


if __name__ == "__main__":
    run_script(main)
