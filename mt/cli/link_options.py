"""The options of `mt translate` that need a word alignment: links, markup, unknown words and quality flags."""

import argparse
import logging
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mt.cli.options import Parser

if TYPE_CHECKING:
    from mt.cli.flag_tally import Tally
    from mt.decode.translation import Translation
    from mt.decode.translator import Translator
    from mt.postprocess.markup import Request
    from mt.postprocess.quality_flags import Measures
    from mt.postprocess.word_alignments import LinkedTranslation, Linker
    from mt.text.words import Links

    # texts, and the stand-ins of each
    Translate = Callable[[list[str], Sequence[Sequence[str]] | None], list[list[Translation]]]

logger = logging.getLogger("mt")


def add_link_options(parser: Parser) -> None:
    links = parser.add_argument_group("word alignment, from the attention heads that `mt align` has chosen")
    links.add_argument(
        "--alignments", action="store_true",
        help="append ` ||| ` and a link i-j for each target word j and the source word i that it translates; words are "
        "separated by white space and counted from 0; with --jsonl as the field `alignment`",
    )  # fmt: skip
    links.add_argument(
        "--markup", action="store_true",
        help="copy tags (<b>...</b>, <br/>), placeholders ({name}, %%s) and addresses from the source unchanged, each "
        "once; character references such as &amp; are understood",
    )  # fmt: skip
    links.add_argument(
        "--protect", type=pattern, metavar="REGEX", help="also copy what matches REGEX unchanged, as '[A-Z]+-[0-9]+'"
    )
    links.add_argument(
        "--replace-unknown", action="store_true",
        help="replace an unknown word by the source word that it is linked to",
    )  # fmt: skip
    links.add_argument(
        "--flags", action="store_true",
        help="warn about translations that depend little on the source, leave much of it out, repeat themselves, lose "
        "numbers, or are very short or long, and count them; with --jsonl also as the field `flags`, with the measures",
    )  # fmt: skip


def pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"must be a regular expression, but {text!r} is not: {error}") from None


@dataclass(frozen=True)
class Answer:
    """A translation, with its links and quality measures where options ask for them."""

    translation: "Translation"
    links: "Links | None" = None
    measures: "Measures | None" = None

    @property
    def suffix(self) -> str:
        """The links in Pharaoh format that follow the text of a plain line, as in Marian."""
        if self.links is None:
            return ""
        from mt.alignment.pharaoh import pharaoh

        return f" ||| {pharaoh(self.links)}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        one = self.translation
        found: dict[str, Any] = {
            "text": one.text, "score": round(one.score, 6), "log_prob": round(one.log_prob, 6), "pieces": one.pieces,
            "piece_log_probs": [round(value, 6) for value in one.piece_log_probs], "finished": one.finished,
        }  # fmt: skip
        if self.links is not None:
            found["alignment"] = [list(link) for link in sorted(self.links)]
        if (told := self.measures) is not None:
            found |= {
                "contribution": told.contribution and round(told.contribution, 4),
                "coverage": told.coverage and round(told.coverage, 4),
                "repeated": told.loop and told.loop.text,
                "lost": list(told.lost),
                "length": told.length and round(told.length, 4),
                "flags": [str(flag) for flag in told.flags],
            }
        return found


def wants_links(args: argparse.Namespace) -> bool:
    """Whether options need a `LinkUser`; without them the translations stay as they are."""
    return bool(args.markup or args.protect or args.alignments or args.replace_unknown or args.flags)


class LinkUser:
    """Translates a batch and adds what needs links."""

    def __init__(self, translator: "Translator", args: argparse.Namespace) -> None:
        """Raises: CheckpointError: when the stored choice of heads does not fit the model."""
        self.args = args
        self.linker = linker_of(args.model, translator)
        self.unknown = translator.tokenizer.unk
        (self.unknown_piece,) = translator.tokenizer.pieces_target([self.unknown])
        self.tally: Tally | None = None
        if args.flags:
            from mt.cli import flag_tally

            self.tally = flag_tally.Tally()

    def answer(self, texts: list[str], translate: "Translate", first: int) -> list[list[Answer]]:
        """The answers to a batch of lines; `first` is the number of lines before it."""
        requests, found = self._translate(texts, translate)
        sent = [text if request is None else request.text for text, request in zip(texts, requests, strict=True)]
        answers = [[Answer(translation) for translation in some] for some in found]
        chosen = [n for n in range(len(texts)) if self._needs_links(requests[n], found[n])]
        linked = self.linker.link([sent[n] for n in chosen], [found[n] for n in chosen])
        measures = iter(self._measures([one for some in linked for one in some]))
        for n, some in zip(chosen, linked, strict=True):
            answers[n] = [self._answer(requests[n], one, next(measures)) for one in some]
        for number, some in enumerate(answers, first + 1):
            if self.tally is not None and some[0].measures is not None:
                self.tally.add(number, some[0].measures)
        return answers

    def _translate(
        self, texts: list[str], translate: "Translate"
    ) -> "tuple[Sequence[Request | None], list[list[Translation]]]":
        """With marks what was sent for each line, and the translations. A line whose stand-ins do not come through is
        sent again with others."""
        if not (self.args.markup or self.args.protect):
            return [None] * len(texts), translate(texts, None)
        from mt.decode.parts import carried_out
        from mt.postprocess.markup import Request, translated

        def request(line: str, attempt: int) -> Request:
            return Request(line, markup=self.args.markup, protect=self.args.protect, attempt=attempt)

        return carried_out(translated(texts, request), lambda asked: translate(*asked))

    def _needs_links(self, request: "Request | None", translations: "Sequence[Translation]") -> bool:
        if self.args.alignments or self.args.flags or (request is not None and (request.changed or request.bare)):
            return True
        return self.args.replace_unknown and any(self.unknown_piece in t.pieces for t in translations)

    def _measures(self, linked: "Sequence[LinkedTranslation]") -> "Sequence[Measures | None]":
        if not self.args.flags:
            return [None] * len(linked)
        from mt.postprocess.quality_flags import measure

        return measure(self.linker, linked)

    def _answer(self, request: "Request | None", linked: "LinkedTranslation", measures: "Measures | None") -> Answer:
        from mt.postprocess.unknown_words import replace_unknown

        if self.args.replace_unknown:
            linked = replace_unknown(linked, self.unknown)
        if request is None:
            return Answer(linked.translation, linked.links() if self.args.alignments else None, measures)
        restored = request.restore(linked)
        translation = replace(linked.translation, text=restored.text)
        return Answer(translation, restored.links if self.args.alignments else None, measures)

    def close(self) -> None:
        """Sum up the flags."""
        if self.tally is not None:
            self.tally.close()


def linker_of(path: Path | None, translator: "Translator") -> "Linker":
    """With the heads that `mt align` has chosen for the model; with a warning where it has not chosen any.

    Raises: CheckpointError: when what is kept does not fit the model; ConfigError: for a model without text.
    """
    from mt.checkpoint.model_folder import RUNS, find_model, newest_run
    from mt.postprocess.word_alignments import Linker

    path = path or newest_run(RUNS)
    linker = Linker.of(translator, find_model(path))
    if linker.heads is None:
        command = f"mt align {shlex.quote(str(path))} --source FILE --target FILE"
        logger.warning(
            f"{path} has no attention heads chosen for word links; they are guessed from the first translations. "
            f"`{command}` chooses them on a few hundred pairs and saves the choice."
        )
    return linker
