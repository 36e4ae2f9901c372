"""The options of `mt translate` beyond beam search: sampling, choosing among translations, several models at once."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mt.cli.engine_options import direction, load_model, tagged
from mt.cli.options import Parser, add_options, share
from mt.config.decode import options_of
from mt.decode.request import MBR_EPSILON, MBR_SAMPLES, Options, Sampling
from mt.errors import ConfigError

if TYPE_CHECKING:
    from mt.decode.rerank.utility import Utility
    from mt.decode.translation import Translation
    from mt.decode.translator import Translator

RERANK_WEIGHT = 0.5


def add_choice_options(parser: Parser) -> None:
    draws = parser.add_argument_group("sampling")
    draws.add_argument("--sample", action="store_true", help="draw translations at random instead of searching")
    add_options(draws, Sampling, "sampling")
    choice = parser.add_argument_group("choosing among translations")
    choice.add_argument(
        "--mbr", choices=["chrf", "chrf++", "bleu"],
        help="minimum Bayes risk: choose the candidate most similar to all candidates, by this metric; the score of a "
        "translation is its mean similarity",
    )  # fmt: skip
    choice.add_argument(
        "--mbr-from", choices=["samples", "beam"], default="samples",
        help="candidates: --samples random draws (default), or the hypotheses of the beam, weighted by probability",
    )  # fmt: skip
    choice.add_argument(
        "--rerank", type=Path, metavar="MODEL",
        help="reorder the hypotheses of the beam by how likely a model of the other direction finds the source",
    )  # fmt: skip
    choice.add_argument(
        "--rerank-weight", type=share, metavar="W",
        help="scores are (1 - W) * mean log p(piece) + W * mean log p(piece of the source) "
        f"(default: {RERANK_WEIGHT})",
    )  # fmt: skip
    add_ensemble_options(parser)


def add_ensemble_options(parser: Parser) -> None:
    several = parser.add_argument_group("several models")
    several.add_argument(
        "--ensemble", type=Path, nargs="+", metavar="MODEL", help="more models to translate together with the first"
    )
    several.add_argument(
        "--ensemble-mean", choices=["probabilities", "log_probs"],
        help="average the probabilities (default), or their logarithms: then one model alone can rule out a piece",
    )  # fmt: skip


def check_choice_options(parser: Parser, args: argparse.Namespace) -> None:
    """Raise `ConfigError` for options that cannot be combined, before a model is loaded."""
    draws = args.sample or (args.mbr and args.mbr_from == "samples")
    given = [f"--{name.replace('_', '-')}" for name in options_of(Sampling) if getattr(args, name) is not None]
    ways = [f"--{name}" for name in ("sample", "mbr", "rerank") if getattr(args, name)]
    if len(ways) > 1:
        parser.error(f"{' and '.join(ways)} cannot be combined; choose one of them")
    if given and not draws:
        parser.error(f"{given[0]} needs --sample, or --mbr from samples")
    for name in ("beam", "groups", "diversity", "patience", "coverage_penalty"):
        if draws and getattr(args, name) is not None:
            parser.error(f"--{name.replace('_', '-')} has no effect on sampling; leave it out")
    if args.sample and args.nbest > 1:
        parser.error("--nbest has no effect on sampling; --samples gives the number of translations")
    if args.mbr and draws and args.nbest > (args.samples or MBR_SAMPLES):
        parser.error(f"--nbest {args.nbest} needs at least as many --samples")
    if draws and args.terms is not None and any(not e.banned for some in args.terms.entries.values() for e in some):
        parser.error("sampling cannot enforce the terms of --glossary; leave one of the two out")
    if args.mbr_from == "beam" and not args.mbr:
        parser.error("--mbr-from needs --mbr")
    if args.rerank_weight is not None and not args.rerank:
        parser.error("--rerank-weight needs --rerank")
    check_ensemble_options(parser, args)


def check_ensemble_options(parser: Parser, args: argparse.Namespace) -> None:
    if args.ensemble_mean and not args.ensemble:
        parser.error("--ensemble-mean needs --ensemble")


def load_models(args: argparse.Namespace) -> "Translator":
    """The model, or the ensemble. Raises: CheckpointError, ConfigError."""
    if not args.ensemble:
        return load_model(args, args.model)
    if args.model is None:
        raise ConfigError("--ensemble needs a first model: mt translate MODEL --ensemble MODEL ...")
    from mt.decode.load import load_ensemble
    from mt.decode.search.ensemble import Mean

    paths = [args.model, *args.ensemble]
    mean = Mean(args.ensemble_mean or Mean.probabilities)
    return tagged(load_ensemble(paths, mean=mean, device=args.device, precision=args.precision), args.tag)


class Chooser:
    """Translates a batch of lines by search, sampling, minimum Bayes risk or reranking."""

    def __init__(self, translator: "Translator", args: argparse.Namespace) -> None:
        """Raises: ConfigError, CheckpointError: when the model for --rerank cannot be used."""
        self.translator = translator
        self.args = args
        self.sampling = sampling(args)
        self.choose: Callable[[list[str], list[list[Translation]]], list[list[Translation]]] | None = None
        if args.mbr:
            self.choose = partial(most_alike, utility=utility(args), weighted=args.mbr_from == "beam")
        elif args.rerank:
            self.choose = reverse_model(args)

    @property
    def gives_many(self) -> bool:
        """Whether a line has several translations."""
        return self.args.nbest > 1 or (self.args.sample and self.sampling is not None and self.sampling.samples > 1)

    def answer(self, texts: list[str], options: Options) -> "list[list[Translation]]":
        """The translations of a batch of lines, best first, at most --nbest; or as they were drawn."""
        if self.sampling:
            options = replace(options, nbest=1, sampling=self.sampling)
        elif self.choose:
            options = replace(options, nbest=options.section.beam)
        found = self.translator.answer(texts, options)
        if not self.choose:
            return found
        return [translations[: self.args.nbest] for translations in self.choose(texts, found)]


def sampling(args: argparse.Namespace) -> Sampling | None:
    """The sampling settings; None: the command searches."""
    if not args.sample and not (args.mbr and args.mbr_from == "samples"):
        return None
    usual = {"samples": MBR_SAMPLES, "epsilon": MBR_EPSILON} if args.mbr else {}
    return Sampling(
        **usual | {name: getattr(args, name) for name in options_of(Sampling) if getattr(args, name) is not None}
    )


def utility(args: argparse.Namespace) -> "Utility":
    """The metric of `--mbr`. BLEU splits words as the target language needs."""
    from mt.decode.rerank.utility import bleu, chrf, chrf_with_words

    if args.mbr != "bleu":
        return chrf if args.mbr == "chrf" else chrf_with_words
    from mt.text.metrics import bleu_tokenizer_for

    _, tgt = direction(args)
    return partial(bleu, tokenize=bleu_tokenizer_for(tgt))


def most_alike(
    texts: list[str], lists: "list[list[Translation]]", *, utility: "Utility", weighted: bool
) -> "list[list[Translation]]":
    """Each list sorted by expected utility, which becomes the score; of equal texts only the first stays.

    Args: weighted: weight translations by their probability, instead of equally.
    """
    from mt.decode.rerank.mbr import mbr, shares_of

    results: list[list[Translation]] = []
    for translations in lists:
        ranked: dict[str, Translation] = {}
        weights = shares_of([t.log_prob for t in translations]) if weighted else None
        for place, value in mbr([t.text for t in translations], utility, weights):
            ranked.setdefault(translations[place].text, replace(translations[place], score=value))
        results.append(list(ranked.values()) if len(translations) > 1 else translations)
    return results


def reverse_model(
    args: argparse.Namespace,
) -> "Callable[[Sequence[str], Sequence[list[Translation]]], list[list[Translation]]]":
    """`rerank` with the model of `--rerank`. Raises: ConfigError: when it goes the same way as the model."""
    from mt.checkpoint.two_models import check_direction, check_same_inputs
    from mt.decode.load import load
    from mt.decode.rerank.reverse import rerank
    from mt.decode.rerank.scorer import Scorer

    check_same_inputs(args.model, args.rerank, "--rerank", opposite=True)
    check_direction(args.model, args.rerank, "--rerank", opposite=True)
    reverse = Scorer(load(args.rerank, device=args.device, precision=args.precision))
    return partial(rerank, reverse=reverse, weight=RERANK_WEIGHT if args.rerank_weight is None else args.rerank_weight)
