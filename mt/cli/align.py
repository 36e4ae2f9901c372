"""`mt align`: word links of sentence pairs, from a model's cross-attention or from co-occurrence in the text."""

import argparse
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mt.cli.lines import BadLines, file_texts, parallel_texts, process, results, waiting
from mt.cli.options import Parser, check_output, dash_is_default, share, text_file
from mt.data.corpus.readers import check_order
from mt.errors import CheckpointError, ConfigError, DataError, counted
from mt.text.lines import check_file
from mt.text.words import lacks_spaces, reading_words

if TYPE_CHECKING:
    from torch import Tensor

    from mt.alignment.aligner import Aligner
    from mt.alignment.pharaoh import Gold
    from mt.text.words import Links

logger = logging.getLogger("mt")
# The names of `mt.alignment.symmetrize.HEURISTICS`, and "joint". Importing them needs torch, which help must not.
HEURISTICS = ["intersection", "union", "grow-diag", "grow-diag-final", "grow-diag-final-and", "joint"]
ENOUGH = 30  # pairs for a choice of heads that is saved; on two pairs the choice is arbitrary
LONG = 2_000  # characters; heads are chosen on shorter lines, because the time and memory of maps grow with the square
CHUNK = 500  # pairs whose links are written together
FEW = 1_000  # pairs from which co-occurrence learns little
EPILOG = """\
examples:
  mt align runs/de-en --source a.de --target a.en > links
  mt align runs/de-en --reverse runs/en-de --source a.de --target a.en --gold a.links --gold-base 0
  mt align --source train.de --target train.en -o train.links
  mt align runs/de-en --reverse runs/en-de --learn --source train.de --target train.en -o train.links

The output has one line for each pair: `i-j` links source word i to target word j, counted from 0; with --soft it is
`i-j:weight`. Words are separated by white space: give tokenised text to link words and punctuation separately.

With a model, links come from its cross-attention. The first 500 pairs decide which layer, heads and decoder positions
are used; no gold links are needed. With 30 pairs or more the choice is saved in the model folder.

Without a model, links are learnt from the text itself (two HMMs, one for each direction, trained to agree). Give as
much text as possible, at least some thousand pairs. --learn starts the HMMs from the attention of two models, which is
better than either method alone. The links can guide the training of a model (alignment.links)."""


def parse(argv: list[str]) -> argparse.Namespace:
    about = "Find which words of sentence pairs are translations of each other."
    parser = Parser(prog="mt align", description=about, epilog=EPILOG, files=["--source {} --target {}"])
    parser.add_argument("model", type=Path, nargs="?", help="model folder, run or checkpoint (default: text alone)")
    parser.add_argument(
        "--source", type=text_file, required=True, metavar="FILE", help="source lines, plain or compressed; -: stdin"
    )
    parser.add_argument(
        "--target", type=text_file, required=True, metavar="FILE", help="their translations, line by line"
    )
    parser.add_argument("--reverse", type=Path, metavar="MODEL", help="a model that translates the other way")
    parser.add_argument(
        "--symmetrize", choices=HEURISTICS, help="how to merge both directions (default: grow-diag); joint: by weight"
    )
    parser.add_argument(
        "--least", type=share, help="smallest weight of a link (default: 0; joint: 0.1; learnt from text: 0.5)"
    )
    parser.add_argument("--learn", action="store_true", help="learn from the text, starting from two models' attention")
    parser.add_argument("--soft", action="store_true", help="print all weights of at least --least (default: 0.01)")
    parser.add_argument("--gold", metavar="FILE", help="manual links: print AER, precision and recall instead of links")
    parser.add_argument("--gold-base", type=int, choices=[0, 1], help="whether --gold counts words from 0 or from 1")
    parser.add_argument(
        "--words", choices=["spaces", "reading"], default="spaces",
        help="what is linked: spaces (default): what stands between white space; reading: words as a reader sees them, "
        "punctuation apart and each character of a script without spaces",
    )  # fmt: skip
    parser.add_argument(
        "--skip-bad", action="store_true",
        help="give no links to lines that cannot be read, such as lines that are not UTF-8, and count them",
    )  # fmt: skip
    parser.add_argument("--choose-again", action="store_true", help="choose the layer and heads anew")
    parser.add_argument("-o", "--output", type=Path, help="file to write (default, and -: stdout)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    args = parser.parse_args(argv)
    dash_is_default(args, "output")
    if (args.gold is None) != (args.gold_base is None):
        parser.error("--gold and --gold-base must be given together: the words of --gold count from 0 or from 1")
    if not args.model and (args.reverse or args.choose_again or args.device != "auto"):
        parser.error("--reverse, --choose-again and --device need a model, but none is given")
    if args.learn and not args.reverse:
        parser.error("--learn needs models of both directions: name the second with --reverse")
    if args.model and args.symmetrize and not args.reverse:
        parser.error("--symmetrize needs a second model: name it with --reverse")
    if args.soft and (args.gold or (args.reverse and not args.learn)):
        parser.error("--soft prints the weights of one direction; leave out --gold and --reverse")
    if args.gold and args.output:
        parser.error("--gold prints scores instead of links; leave out --output")
    return args


def run(argv: list[str]) -> int:
    args = parse(argv)
    for file in filter(None, (args.source, args.target, args.gold)):
        check_file(file)
    check_output(args.output, args.source, args.target)
    bad = BadLines() if args.skip_bad else None
    sources, targets = parallel_texts(args.source, args.target, bad)
    our_words, their_words = sources, targets
    if args.words == "reading":
        our_words, their_words = ([words_apart(text) for text in side] for side in (sources, targets))
    else:
        check_spaces(args.source, sources)
        check_spaces(args.target, targets)
    gold = read_gold_file(args, our_words, their_words)
    from mt.compute.device import set_up_cpu
    from mt.log import setup

    setup()
    if bad is not None:
        bad.report()
    set_up_cpu(None)
    weights = attended(sources, targets, args) if args.model else None
    if weights is None or args.learn:
        weights = learnt(our_words, their_words, weights)
    if gold is not None:
        say_agreement(hard(weights, args), gold, args)
    else:
        with results(args.output) as out, waiting("aligning", len(sources), args.output) as show:
            process(weights, CHUNK, lambda batch, _: to_lines(batch, args), out, show=show)
    return 0


def words_apart(text: str) -> str:
    """The words as a reader sees them, with a space between each two."""
    return " ".join(text[begin:end] for begin, end in reading_words(text))


def check_spaces(file: str, lines: Sequence[str]) -> None:
    """Raises: ConfigError: for text without spaces, of which each line would count as one word."""
    if lacks_spaces(lines[:CHUNK]):
        raise ConfigError(
            f"{file} is written without spaces between words, so each line would count as one word: give --words "
            "reading, or text in which a tokenizer has put spaces."
        )


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
    """The link weights of every pair in both directions, learnt from these pairs; `start`: initial weights."""
    from mt.alignment.hmm import HmmAligner

    if not any(source.strip() and target.strip() for source, target in zip(sources, targets, strict=True)):
        raise DataError("there is nothing to learn from: --source and --target have no line with text in both.")
    if len(sources) < FEW:
        logger.warning(f"word links learnt from only {counted(len(sources), 'pair')} are unreliable: add more text.")
    return HmmAligner(sources, targets, start).weights(sources, targets)


def attended(
    sources: Sequence[str], targets: Sequence[str], args: argparse.Namespace
) -> "Iterator[tuple[Tensor, ...]]":
    """The link weights of every pair from cross-attention, in both directions if there are two models."""
    from mt.checkpoint.model_folder import languages
    from mt.checkpoint.two_models import check_direction

    check_order([args.source, args.target], *languages(args.model), "the model translates")
    if args.reverse:
        check_direction(args.model, args.reverse, "--reverse", opposite=True)
    aligners = [open_aligner(path, args) for path in (args.model, args.reverse) if path]
    choose(aligners, sources, targets, args)
    sides = [(sources, targets), (targets, sources)]
    return zip(*(one.weights(*pair) for one, pair in zip(aligners, sides, strict=False)), strict=True)


def open_aligner(path: Path, args: argparse.Namespace) -> "Aligner":
    from mt.alignment.aligner import Aligner, load_heads
    from mt.checkpoint.model_folder import find_model
    from mt.decode.load import load

    translator = load(path, device=args.device, precision="fp32")
    model = translator.stepper.model
    heads = None if args.choose_again else load_heads(find_model(path), model)
    return Aligner(
        model, translator.tokenizer, max_length=translator.max_length, by_spaces=args.words == "spaces", heads=heads
    )


def choose(aligners: "list[Aligner]", sources: Sequence[str], targets: Sequence[str], args: argparse.Namespace) -> None:
    """Choose heads unless every model has a saved choice, save the choice, and log it."""
    from mt.alignment.aligner import choose as measure
    from mt.alignment.aligner import save_heads
    from mt.checkpoint.model_folder import find_model

    paths = [path for path in (args.model, args.reverse) if path]
    if any(aligner.heads is None for aligner in aligners):
        full = [(s, t) for s, t in zip(sources, targets, strict=True) if s.strip() and t.strip()]
        if not full:
            raise DataError(f"{args.source} and {args.target} have no line with text in both to choose heads on.")
        full = [pair for pair in full if max(map(len, pair)) <= LONG] or full
        choices = measure(aligners[0], [s for s, _ in full], [t for _, t in full], *aligners[1:])
        for path, choice in zip(paths, choices, strict=True):
            logger.info(f"{path}: {choice.criterion} {choice.score:.3f} on {counted(choice.pairs, 'pair')}")
            if choice.pairs < ENOUGH:
                logger.warning(f"the choice is not saved, because fewer than {ENOUGH} pairs are too few for it.")
                continue
            try:
                save_heads(find_model(path), choice)
            except CheckpointError as error:
                logger.warning(f"{error} The choice is not saved.")
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
