"""`mt align`: word links of sentence pairs, read off a model's cross-attention."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mt.cli.options import Parser, check_output, number_from_0, stdout
from mt.corpus.lines import check_file, read_lines
from mt.errors import CheckpointError, DataError

if TYPE_CHECKING:
    from torch import Tensor

    from mt.interpret.aligner import Aligner
    from mt.interpret.gold import Gold
    from mt.words import Links

# As `mt.interpret.symmetrize.HEURISTICS`; told again, for that room needs torch.
HEURISTICS = ["intersection", "union", "grow-diag", "grow-diag-final", "grow-diag-final-and", "joint"]
ENOUGH = 30  # pairs to keep a choice for good; on two any head at all was taken
EPILOG = """\
examples:
  mt align runs/de-en --source a.de --target a.en > links
  mt align runs/de-en --reverse runs/en-de --source a.de --target a.en --gold a.links --gold-base 0

A line out for each pair, `i-j` for source word i and target word j, counted from 0. Words are what stands between white
space: give tokenised text for links between words and signs. With --soft it is `i-j:weight`.

Which layer and heads are read, and whether where a word is the decoder's input or where it is predicted, is measured on
the first 500 pairs without gold links, and kept in the model folder, if there are 30 at least."""


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="mt align", description="Word links of sentence pairs, from cross-attention.", epilog=EPILOG)
    parser.add_argument("model", type=Path, help="model folder, run or checkpoint")
    parser.add_argument("--source", required=True, metavar="FILE", help="source lines, plain or compressed")
    parser.add_argument("--target", required=True, metavar="FILE", help="their translations, line by line")
    parser.add_argument("--reverse", type=Path, metavar="MODEL", help="a model that translates the other way")
    parser.add_argument(
        "--symmetrize", choices=HEURISTICS, help="how both directions become one (default: grow-diag); joint: by weight"
    )
    parser.add_argument("--least", type=number_from_0, help="weight that a link needs (default: 0; joint: 0.1)")
    parser.add_argument("--soft", action="store_true", help="print every weight of at least --least (default: 0.01)")
    parser.add_argument("--gold", metavar="FILE", help="links drawn by people: print AER, precision, recall")
    parser.add_argument("--gold-base", type=int, choices=[0, 1], help="what the words of --gold are counted from")
    parser.add_argument("--choose-again", action="store_true", help="measure again which layer and heads to read")
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: stdout)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    asked = parser.parse_args(argv)
    if (asked.gold is None) != (asked.gold_base is None):
        parser.error("--gold and --gold-base go together: say whether its words count from 0 or from 1")
    if asked.symmetrize and not asked.reverse:
        parser.error("--symmetrize needs a second model: name it with --reverse")
    if asked.soft and (asked.gold or asked.reverse):
        parser.error("--soft prints the weights of one model; leave --gold and --reverse out")
    if asked.gold and asked.output:
        parser.error("--gold prints how the links agree with it, and no links; leave --output out")
    return asked


def run(argv: list[str]) -> int:
    asked = parse(argv)
    for file in filter(None, (asked.source, asked.target, asked.gold)):
        check_file(file)
    check_output(asked.output, asked.source, asked.target)
    sources, targets = list(read_lines(asked.source)), list(read_lines(asked.target))
    if len(sources) != len(targets):
        raise DataError(
            f"{asked.source} has {len(sources):,} lines, but {asked.target} has {len(targets):,}; they must be as many."
        )
    gold = read_gold_file(asked, len(sources))
    from mt.checkpoint.folder import explained
    from mt.device import set_up_cpu
    from mt.log import setup
    from mt.models import check_reverse

    setup()
    set_up_cpu(None)
    if asked.reverse:
        check_reverse(asked.model, asked.reverse, "--reverse")
    aligners = [open_aligner(path, asked) for path in (asked.model, asked.reverse) if path]
    choose(aligners, sources, targets, asked)
    if gold is not None:
        say_agreement(hard(aligners, sources, targets, asked), gold, asked)
    elif asked.output:
        with explained(f"`{asked.output}` cannot be written"), asked.output.open("wb") as out:
            write(aligners, sources, targets, asked, out)
    else:
        write(aligners, sources, targets, asked, stdout())
    return 0


def read_gold_file(asked: argparse.Namespace, pairs: int) -> "list[Gold] | None":
    if not asked.gold:
        return None
    from mt.interpret.gold import read_gold

    gold = read_gold(list(read_lines(asked.gold)), base=asked.gold_base, path=asked.gold)
    if len(gold) != pairs:
        raise DataError(f"{asked.gold} has {len(gold):,} lines, but there are {pairs:,} pairs; they must be as many.")
    return gold


def open_aligner(path: Path, asked: argparse.Namespace) -> "Aligner":
    from mt.build import load
    from mt.checkpoint import read_json
    from mt.interpret.aligner import FILE, Aligner, from_file
    from mt.models import read_model

    translator = load(path, device=asked.device, precision="fp32")
    aligner = Aligner(translator.stepper.model, translator.tokenizer, max_length=translator.max_length)
    kept = read_model(path).path / FILE
    if kept.is_file() and not asked.choose_again:
        aligner.reading = from_file(read_json(kept), aligner.model, str(kept))
    return aligner


def choose(
    aligners: "list[Aligner]", sources: Sequence[str], targets: Sequence[str], asked: argparse.Namespace
) -> None:
    """Measure where nothing is kept, keep what was found, and say what will be read."""
    from mt.interpret.aligner import choose as measure
    from mt.interpret.aligner import to_file
    from mt.log import logger

    paths = [path for path in (asked.model, asked.reverse) if path]
    if any(aligner.reading is None for aligner in aligners):
        full = [(s, t) for s, t in zip(sources, targets, strict=True) if s.strip() and t.strip()]
        if not full:
            raise DataError(f"{asked.source} and {asked.target} hold no pair of text to choose a layer and heads on.")
        choices = measure(aligners[0], [s for s, _ in full], [t for _, t in full], *aligners[1:])
        for path, choice in zip(paths, choices, strict=True):
            logger.info(f"{path}: {choice.criterion} {choice.score:.3f} on {choice.pairs:,} pairs")
            if choice.pairs < ENOUGH:
                logger.warning(f"{choice.pairs:,} pairs are too few to choose on; from {ENOUGH} on the choice is kept.")
                continue
            try:
                keep(path, to_file(choice))
            except CheckpointError as error:
                logger.warning(f"{error} The choice is not kept.")
    for path, aligner in zip(paths, aligners, strict=True):
        assert aligner.reading is not None
        logger.info(f"{path}: {aligner.reading.describe()}")


def keep(path: Path, content: bytes) -> None:
    """Write the choice into the model's folder.

    Raises: CheckpointError: when the folder cannot be written, or is a checkpoint.
    """
    from mt.checkpoint import verify_folder, write_folder
    from mt.interpret.aligner import FILE
    from mt.models import read_model

    folder = read_model(path).path
    manifest = verify_folder(folder)
    if "optimizer.safetensors" in manifest.files:
        raise CheckpointError(f"{folder} is a checkpoint, which only its run writes to.")
    files = {name: (folder / name).read_bytes() for name in manifest.files}
    write_folder(folder, {**files, FILE: content}, meta=manifest.meta, replace=True)


def hard(
    aligners: "list[Aligner]", sources: Sequence[str], targets: Sequence[str], asked: argparse.Namespace
) -> "Iterator[Links]":
    from mt.interpret.align import hard_links, joint_links, turned
    from mt.interpret.symmetrize import HEURISTICS as JOIN

    forward: Iterator[Tensor] = aligners[0].weights(sources, targets)
    if len(aligners) == 1:
        yield from (hard_links(weights, asked.least or 0.0) for weights in forward)
        return
    for f, b in zip(forward, aligners[1].weights(targets, sources), strict=True):
        if asked.symmetrize == "joint":
            yield joint_links(f, b, 0.1 if asked.least is None else asked.least)
        else:
            least = asked.least or 0.0
            yield JOIN[asked.symmetrize or "grow-diag"](hard_links(f, least), turned(hard_links(b, least)))


def write(
    aligners: "list[Aligner]", sources: Sequence[str], targets: Sequence[str], asked: argparse.Namespace, out: BinaryIO
) -> None:
    from mt.interpret.align import soft_links
    from mt.interpret.gold import pharaoh

    if asked.soft:
        least = 0.01 if asked.least is None else asked.least
        for weights in aligners[0].weights(sources, targets):
            items = (f"{i}-{j}:{weight:.4f}" for i, j, weight in soft_links(weights, least))
            out.write(" ".join(items).encode() + b"\n")
    else:
        for links in hard(aligners, sources, targets, asked):
            out.write(pharaoh(links).encode() + b"\n")
    out.flush()


def say_agreement(found: "Iterator[Links]", gold: "list[Gold]", asked: argparse.Namespace) -> None:
    from mt.interpret.gold import compare

    result = compare(found, gold)
    print(
        f"AER {100 * result.aer:.2f}  precision {100 * result.precision:.2f}  recall {100 * result.recall:.2f}  "
        f"({result.links:,} links, {result.sure:,} sure gold links, {len(gold):,} pairs, words of {asked.gold} counted "
        f"from {asked.gold_base})"
    )
