"""`mt align`: word links of sentence pairs, read off a model's cross-attention, or counted in the text alone."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mt.cli.lines import file_texts, parallel_texts, process, results
from mt.cli.options import Parser, check_output, number_from_0
from mt.data.corpus.readers import check_order
from mt.errors import CheckpointError, DataError, counted
from mt.text.lines import check_file

if TYPE_CHECKING:
    from torch import Tensor

    from mt.alignment.aligner import Aligner
    from mt.alignment.pharaoh import Gold
    from mt.text.words import Links

# As `mt.alignment.symmetrize.HEURISTICS`; told again, for that room needs torch.
HEURISTICS = ["intersection", "union", "grow-diag", "grow-diag-final", "grow-diag-final-and", "joint"]
ENOUGH = 30  # pairs to keep a choice for good; on two any head at all was taken
CHUNK = 500  # pairs whose links are written together
FEW = 1_000  # pairs of which counting says little
EPILOG = """\
examples:
  mt align runs/de-en --source a.de --target a.en > links
  mt align runs/de-en --reverse runs/en-de --source a.de --target a.en --gold a.links --gold-base 0
  mt align --source train.de --target train.en -o train.links
  mt align runs/de-en --reverse runs/en-de --learn --source train.de --target train.en -o train.links

A line out for each pair, `i-j` for source word i and target word j, counted from 0. Words are what stands between white
space: give tokenised text for links between words and signs. With --soft it is `i-j:weight`.

Which layer and heads are read, and whether where a word is the decoder's input or where it is predicted, is measured on
the first 500 pairs without gold links, and kept in the model folder, if there are 30 at least.

Without a model, which words belong together is counted in the text itself, in two directions that are taught to agree:
give all the text that there is, some thousand pairs at least. With --learn counting starts from what two models asked,
which is better than either alone. Such links can teach a model (alignment.links)."""


def parse(argv: list[str]) -> argparse.Namespace:
    about = "Word links of sentence pairs: asked of cross-attention, or counted in the text."
    parser = Parser(prog="mt align", description=about, epilog=EPILOG)
    parser.add_argument("model", type=Path, nargs="?", help="model folder, run or checkpoint (default: no model)")
    parser.add_argument("--source", required=True, metavar="FILE", help="source lines, plain or compressed")
    parser.add_argument("--target", required=True, metavar="FILE", help="their translations, line by line")
    parser.add_argument("--reverse", type=Path, metavar="MODEL", help="a model that translates the other way")
    parser.add_argument(
        "--symmetrize", choices=HEURISTICS, help="how both directions become one (default: grow-diag); joint: by weight"
    )
    parser.add_argument("--least", type=number_from_0, help="weight that a link needs (0; joint: 0.1; counted: 0.5)")
    parser.add_argument("--learn", action="store_true", help="count in the text, starting from both models' attention")
    parser.add_argument("--soft", action="store_true", help="print every weight of at least --least (default: 0.01)")
    parser.add_argument("--gold", metavar="FILE", help="links drawn by people: print AER, precision, recall")
    parser.add_argument("--gold-base", type=int, choices=[0, 1], help="what the words of --gold are counted from")
    parser.add_argument("--choose-again", action="store_true", help="measure again which layer and heads to read")
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: stdout)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    args = parser.parse_args(argv)
    if (args.gold is None) != (args.gold_base is None):
        parser.error("--gold and --gold-base go together: say whether its words count from 0 or from 1")
    if not args.model and (args.reverse or args.choose_again or args.device != "auto"):
        parser.error("--reverse, --choose-again and --device are about a model, but none is given")
    if args.learn and not args.reverse:
        parser.error("--learn starts from models of both directions: name the second with --reverse")
    if args.model and args.symmetrize and not args.reverse:
        parser.error("--symmetrize needs a second model: name it with --reverse")
    if args.soft and (args.gold or (args.reverse and not args.learn)):
        parser.error("--soft prints the weights of one direction; leave --gold and --reverse out")
    if args.gold and args.output:
        parser.error("--gold prints how the links agree with it, and no links; leave --output out")
    return args


def run(argv: list[str]) -> int:
    args = parse(argv)
    for file in filter(None, (args.source, args.target, args.gold)):
        check_file(file)
    check_output(args.output, args.source, args.target)
    sources, targets = parallel_texts(args.source, args.target)
    gold = read_gold_file(args, sources, targets)
    from mt.compute.device import set_up_cpu
    from mt.log import setup

    setup()
    set_up_cpu(None)
    weights = attended(sources, targets, args) if args.model else None
    if weights is None or args.learn:
        weights = learnt(sources, targets, weights)
    if gold is not None:
        say_agreement(hard(weights, args), gold, args)
    else:
        with results(args.output) as out:
            process(weights, CHUNK, lambda batch, _: to_lines(batch, args), out)
    return 0


def read_gold_file(args: argparse.Namespace, sources: Sequence[str], targets: Sequence[str]) -> "list[Gold] | None":
    if not args.gold:
        return None
    from mt.alignment.pharaoh import check_gold, read_gold

    gold = read_gold(file_texts(args.gold), base=args.gold_base, path=args.gold)
    check_gold(gold, sources, targets, base=args.gold_base, path=args.gold)
    return gold


def learnt(
    sources: Sequence[str], targets: Sequence[str], start: "Iterator[tuple[Tensor, ...]] | None"
) -> "Iterator[tuple[Tensor, ...]]":
    """The weights of every pair in both directions, learnt from these pairs."""
    from mt.alignment.hmm import HmmAligner
    from mt.log import logger

    if not any(source.strip() and target.strip() for source, target in zip(sources, targets, strict=True)):
        raise DataError("there is no pair of text to learn from; give --source and --target files that hold some.")
    if len(sources) < FEW:
        logger.warning(
            f"which words belong together is hard to learn from {counted(len(sources), 'pair')}: add other text."
        )
    return HmmAligner(sources, targets, start).weights(sources, targets)


def attended(
    sources: Sequence[str], targets: Sequence[str], args: argparse.Namespace
) -> "Iterator[tuple[Tensor, ...]]":
    """The weights of every pair, in both directions where there is a model for each."""
    from mt.checkpoint.model_folder import check_reverse, languages

    check_order([args.source, args.target], *languages(args.model), "the model translates")
    if args.reverse:
        check_reverse(args.model, args.reverse, "--reverse")
    aligners = [open_aligner(path, args) for path in (args.model, args.reverse) if path]
    choose(aligners, sources, targets, args)
    sides = [(sources, targets), (targets, sources)]
    return zip(*(one.weights(*pair) for one, pair in zip(aligners, sides, strict=False)), strict=True)


def open_aligner(path: Path, args: argparse.Namespace) -> "Aligner":
    from mt.alignment.aligner import Aligner
    from mt.alignment.kept_heads import load_heads
    from mt.checkpoint.model_folder import find_model
    from mt.decode.load import load

    translator = load(path, device=args.device, precision="fp32")
    model = translator.stepper.model
    heads = None if args.choose_again else load_heads(find_model(path), model)
    return Aligner(model, translator.tokenizer, max_length=translator.max_length, heads=heads)


def choose(aligners: "list[Aligner]", sources: Sequence[str], targets: Sequence[str], args: argparse.Namespace) -> None:
    """Measure where nothing is kept, keep what was found, and say what will be read."""
    from mt.alignment.aligner import choose as measure
    from mt.alignment.kept_heads import save_heads
    from mt.checkpoint.model_folder import find_model
    from mt.log import logger

    paths = [path for path in (args.model, args.reverse) if path]
    if any(aligner.heads is None for aligner in aligners):
        full = [(s, t) for s, t in zip(sources, targets, strict=True) if s.strip() and t.strip()]
        if not full:
            raise DataError(f"{args.source} and {args.target} hold no pair of text to choose a layer and heads on.")
        choices = measure(aligners[0], [s for s, _ in full], [t for _, t in full], *aligners[1:])
        for path, choice in zip(paths, choices, strict=True):
            logger.info(f"{path}: {choice.criterion} {choice.score:.3f} on {counted(choice.pairs, 'pair')}")
            if choice.pairs < ENOUGH:
                logger.warning(f"fewer than {ENOUGH} pairs are too few to choose on; the choice is not kept.")
                continue
            try:
                save_heads(find_model(path), choice)
            except CheckpointError as error:
                logger.warning(f"{error} The choice is not kept.")
    for path, aligner in zip(paths, aligners, strict=True):
        assert aligner.heads is not None
        logger.info(f"{path}: {aligner.heads.describe()}")


def hard(weights: "Iterable[tuple[Tensor, ...]]", args: argparse.Namespace) -> "Iterator[Links]":
    from mt.alignment.heads import hard_links, joint_links, turned
    from mt.alignment.hmm import LIKELY
    from mt.alignment.symmetrize import HEURISTICS as JOIN

    joint = args.symmetrize == "joint"
    least = LIKELY if args.learn or not args.model else 0.1 if joint else 0.0
    least = least if args.least is None else args.least
    for forward, *backward in weights:
        if not backward:
            yield hard_links(forward, least)
        elif joint:
            yield joint_links(forward, backward[0], least)
        else:
            join = JOIN[args.symmetrize or "grow-diag"]
            yield join(hard_links(forward, least), turned(hard_links(backward[0], least)))


def to_lines(weights: "list[tuple[Tensor, ...]]", args: argparse.Namespace) -> Iterator[bytes]:
    """The line of each pair: its links, or with --soft all weights of one direction."""
    from mt.alignment.heads import soft_links
    from mt.alignment.pharaoh import pharaoh

    if args.soft:
        least = 0.01 if args.least is None else args.least
        for forward, *_ in weights:
            yield " ".join(f"{i}-{j}:{weight:.4f}" for i, j, weight in soft_links(forward, least)).encode() + b"\n"
    else:
        for links in hard(weights, args):
            yield pharaoh(links).encode() + b"\n"


def say_agreement(found: "Iterator[Links]", gold: "list[Gold]", args: argparse.Namespace) -> None:
    from mt.alignment.pharaoh import compare

    result = compare(found, gold)
    print(
        f"AER {100 * result.aer:.2f}  precision {100 * result.precision:.2f}  recall {100 * result.recall:.2f}  "
        f"({result.links:,} links, {result.sure:,} sure gold links, {len(gold):,} pairs, words of {args.gold} counted "
        f"from {args.gold_base})"
    )
