"""Translate text with a trained model."""

import logging
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from typing import Any, Unpack, overload

import torch

from mt.config import DecodeConfig, Split
from mt.decode.constraints.glossary import Constraints, Glossary
from mt.decode.constraints.vocabulary import Vocabulary
from mt.decode.cutting import Cutter, in_sentence
from mt.decode.parts import Found, Part, carried_out, report_missing, report_tags, report_unfinished
from mt.decode.recutting import Recutter
from mt.decode.request import OnProgress, Options, SearchSettings, TranslateOptions, changed
from mt.decode.search.beam import beam_search
from mt.decode.search.engine import SearchEngine, Wanted, check_engine
from mt.decode.search.ensemble import Ensemble
from mt.decode.search.rules import ForcedPrefix
from mt.decode.search.sampling import Sampling, sample_search
from mt.decode.search.settings import Hypothesis, Search
from mt.decode.search.stepper import Stepper
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translation import EMPTY, Segment, Translation, join, without_stop
from mt.errors import ConfigError, DataError, check_texts
from mt.inputs.reader import InputReader, Item
from mt.nn.encoders import TextEncoder, require_text
from mt.nn.ragged import cut
from mt.text.sentences import Layout, Usual
from mt.text.tokenizer import Tokenizer
from mt.text.words import Span, no_text_but

logger = logging.getLogger("mt")
PART_BITS = 40  # the random stream of a sample is numbered (number of the part << PART_BITS) + number of the text
MAX_SENTENCES = 512  # in a batch: short ones have few source tokens, but each takes a beam of rows
MAX_ROWS = 2048  # of samples in a batch: each takes a few times V numbers a step


class Translator:
    """A model, its tokenizer and its search settings. Made by `mt.load`."""

    def __init__(
        self,
        stepper: CachedStepper,
        tokenizer: Tokenizer,
        section: DecodeConfig,
        *,
        max_length: int,
        src: str = "",
        usual: Usual | None = None,
        searcher: Ensemble | SearchEngine | None = None,
        reader: InputReader | None = None,
    ) -> None:
        """Args: max_length: the longest sentence, in tokens, that the model can read or write; src: the source
        language, for splitting text into sentences; usual: texts beyond it are split, None: beyond `max_length`;
        searcher: what is searched in place of `stepper`: an ensemble of it and others, or its model in another engine;
        reader: of sources that are rows of a table, not text."""
        self.stepper = stepper
        self.reader = reader
        self.searched: Stepper = searcher if isinstance(searcher, Ensemble) else stepper
        self.engine = None if isinstance(searcher, Ensemble) else searcher
        self.tokenizer = tokenizer
        self.section = section
        self.max_length = max_length
        self.src = src
        self.usual = usual
        self.cutter = Cutter(tokenizer, max_length=max_length, src=src, usual=usual)
        self.vocabulary = Vocabulary(tokenizer)

    def require_text(self, what: str) -> None:
        """Raises: ConfigError: "`what` needs a model that reads text ..." for a model of another kind of source."""
        require_text(self.stepper.model, what)

    @overload
    def translate(  # pyright: ignore[reportOverlappingOverload]
        self, texts: str, *, names: Sequence[object] = (), **options: Unpack[TranslateOptions]
    ) -> str: ...
    @overload
    def translate(
        self, texts: Sequence[str], *, names: Sequence[object] = (), **options: Unpack[TranslateOptions]
    ) -> list[str]: ...
    def translate(
        self, texts: str | Sequence[str], *, names: Sequence[object] = (), **options: Unpack[TranslateOptions]
    ) -> str | list[str]:
        """Translate one text or many, in their order.

        Args: names: of rows of a table, for errors; options: `beam`, `glossary`, `prefixes`, `sampling` and the others
        of `TranslateOptions`.
        Raises: ConfigError: for an unknown option, a bad value, another number of prefixes, or several translations.
        """
        if isinstance(texts, str):
            return self.translate([texts], names=names, **options)[0]
        return [best[0].text for best in self.answer(texts, self.options(**options).for_one(names))]

    def search(
        self, texts: Sequence[str], *, nbest: int = 1, **options: Unpack[TranslateOptions]
    ) -> list[list[Translation]]:
        """The `nbest` translations of every text, best first, with scores, or its samples in the order drawn.

        Args: nbest: at most `beam`; options: as `translate`.
        """
        return self.answer(texts, self.options(nbest=nbest, **options))

    def options(
        self,
        *,
        nbest: int = 1,
        prefixes: Sequence[str] | None = None,
        glossary: Glossary | None = None,
        sampling: Sampling | None = None,
        on_progress: OnProgress | None = None,
        first_text: int = 0,
        **settings: Unpack[SearchSettings],
    ) -> Options:
        """Args: settings: of `DecodeConfig`; None: the model's own (`patience=math.inf`: the exact stopping rule); the
        others: as `Options`.

        Raises: ConfigError: for an unknown setting or a bad value.
        """
        return Options(
            section=changed(self.section, settings), nbest=nbest, prefixes=prefixes, glossary=glossary,
            sampling=sampling, on_progress=on_progress, first_text=first_text,
        )  # fmt: skip

    def answer(self, texts: Sequence[str], options: Options) -> Found:
        """The `nbest` translations of every text, best first, or its samples in the order drawn.

        An empty text has one empty translation, and one without letters and digits, such as "***", has itself. A text
        that is longer, or has more sentences, than usual lines of the training text is translated sentence by sentence
        (`decode.split`); a sentence that is longer than the model can read is translated in parts, with a warning.
        White space between parts is kept.

        A row of a table (`mt.inputs.reader`) is translated as a whole.

        Raises: ConfigError: when the model reads neither; DataError: when a cell of a row cannot be read.
        """
        return carried_out(self.answering(texts, options), lambda parts: self.find(parts, options))

    def answering(self, texts: Sequence[str], options: Options) -> Generator[list[Part], Found, Found]:
        """As `answer`, but the caller searches: yields parts, and is sent what `find` returns for them. In this way a
        server searches parts of many requests together."""
        (check_texts if self.reader is None else self.reader.check)(texts=texts)
        check_engine(self.engine, options.section, sampling=options.sampling is not None)
        if self.reader is not None:
            return (yield from self._answering_rows(texts, self.reader, options))
        if not isinstance(self.stepper.model.encoder, TextEncoder):
            raise ConfigError(
                "the model reads frames of numbers, not text.", hint="search with `mt.decode.search.beam.beam_search`."
            )
        report_tags(self.tokenizer, texts, options.first_text)
        layouts = self.cutter.lay_out(list(texts), options.section.split, options.first_text)
        parts = self._parts(layouts, options)
        found = yield parts
        if options.recut and not options.sampling:
            again = Recutter(self.cutter, options, lambda finer: self._parts(finer, options), layouts, parts, found)
            yield from again.run()
            layouts, parts, found = again.layouts, again.parts, again.found
        report_missing(parts, found, self.vocabulary, options.name)
        together: list[list[list[Translation]]] = [[] for _ in texts]
        for part, translations in zip(parts, found, strict=True):
            layout = layouts[part.owner]
            goes_on = part.number + 1 < len(layout.parts) and in_sentence(layout.parts[part.number])
            together[part.owner].append([*map(without_stop, translations)] if goes_on else translations)
        return [
            join(parts_of_one, layout.gaps if len(layout.parts) > 1 or options.section.split is Split.always else None)
            for parts_of_one, layout in zip(together, layouts, strict=True)
        ]

    def find(self, parts: list[Part], options: Options) -> Found:
        """The n-best list of every part. A copied part repeats its one translation, so that all lists are as long.

        Of the options only `section`, `nbest`, `sampling` and `details` count, so that parts of several requests may be
        mixed."""
        drafted = [part for part in parts if part.draft]
        free = [part for part in parts if not part.copied and not part.draft]
        searched = iter(self._search_free_first(free, options))
        drafts = iter(self._search_sorted(drafted, options.of_drafts) if drafted else ())
        count = options.sampling.samples if options.sampling else options.nbest
        return [
            next(drafts) if part.draft else [self._copy(part)] * count if part.copied else next(searched)
            for part in parts
        ]

    @property
    def at_once(self) -> int:
        """The threads that may search at the same time; our own search already uses all processors."""
        return 1 if self.engine is None else self.engine.at_once

    def engine_honours(self, parts: Sequence[Part]) -> bool:
        """Whether another engine searches all of these, so that `at_once` threads may. Our own search finds what a
        glossary asks for, in one thread."""
        return self.engine is not None and all(part.constraints == Constraints() for part in parts)

    def prepared(self, *, side_by_side: bool = False) -> AbstractContextManager[object]:
        """A context around searches, which prepares the model once.

        Args: side_by_side: whether `at_once` threads search, so that another engine need not spread each search.
        """
        if self.engine is None:
            return self.searched.prepared()
        return self.engine.side_by_side() if side_by_side else nullcontext()

    def encode_sources(self, texts: Sequence[str], names: Sequence[object] = ()) -> list[Item]:
        """The texts, or rows of a table, as the model reads them, uncut.

        Args: names: of the rows, for errors; by default they are numbered. Raises: DataError: as `answer`.
        """
        if self.reader is None:
            return [*self.tokenizer.encode_source(list(texts))]
        names = names or [f"input {number:,}" for number in range(1, len(texts) + 1)]
        return [self.reader.item(text, str(name)) for text, name in zip(texts, names, strict=True)]

    def read_row(self, row: str, name: str) -> Item:
        """A row of a table as the model reads it. Raises: DataError: also for one that is too long; names `name`."""
        assert self.reader is not None
        item = self.reader.item(row, name)
        if len(item) > self.max_length:
            raise DataError(
                f"{name}: the source has {len(item):,} rows, but the model reads at most {self.max_length:,}.",
                hint="shorten it, or train with a larger `batch.max_length`.",
            )
        return item

    def _answering_rows(
        self, rows: Sequence[str], reader: InputReader, options: Options
    ) -> Generator[list[Part], Found, Found]:
        """As `answering`, for rows of a table. A row without any cell has one empty translation."""
        prefixes = self._prefixes(len(rows), options)
        parts = [
            Part(
                number=0, owner=owner, span=(0, len(row)), text=row, prefix=prefixes[owner], copied=False,
                source=self.read_row(row, options.name(owner)),
                constraints=options.constraints(reader.text(row)),
            )
            for owner, row in enumerate(rows) if row.strip()
        ]  # fmt: skip
        found = yield parts
        if options.recut:
            report_unfinished(parts, found, options.first_text)
        report_missing(parts, found, self.vocabulary, options.name)
        answers: Found = [[EMPTY] for _ in rows]
        for part, translations in zip(parts, found, strict=True):
            answers[part.owner] = translations
        return answers

    def _parts(self, layouts: list[Layout], options: Options) -> list[Part]:
        """The non-empty parts of all texts. A forced prefix belongs to the first part of its text."""
        prefixes = self._prefixes(len(layouts), options)
        sources = iter(self.tokenizer.encode_source([text for layout in layouts for text in self.cutter.read(layout)]))
        parts: list[Part] = []
        for owner, layout in enumerate(layouts):
            stand_ins = dict.fromkeys(options.stand_ins[owner] if options.stand_ins else [])
            for place, (text, span) in enumerate(zip(layout.parts, layout.spans(), strict=True)):
                source = next(sources)
                if len(source) > self.max_length:  # a single character with more bytes than the model reads
                    number = options.first_text + owner + 1
                    logger.warning(f"input {number:,}: {text!r} has {len(source)} tokens and is cut short.")
                    source = [*source[: self.max_length - 1], self.tokenizer.eos]
                constraints = options.constraints(text)
                prefix = prefixes[owner] if place == 0 else []
                # A part without letters or digits is copied; so is one that holds nothing but stand-ins.
                copied = no_text_but(text, stand_ins) and not prefix and not constraints.required
                parts.append(Part(place, owner, span, text, source, prefix, constraints, copied=copied))
        return [part for part in parts if len(part.source) > 1 or (part.copied and part.text.strip())]

    def _prefixes(self, count: int, options: Options) -> list[list[int]]:
        """The forced prefix of each text, empty without one. Raises: ConfigError: for another number of prefixes."""
        if options.prefixes is not None and len(options.prefixes) != count:
            raise ConfigError(
                f"there must be one prefix for each text, but the prefixes are {len(options.prefixes):,} and the texts "
                f"{count:,}."
            )
        return self.tokenizer.encode_target(options.prefixes) if options.prefixes else [[] for _ in range(count)]

    def _search_free_first(self, parts: list[Part], options: Options) -> Found:
        """Search without the constraints of a glossary, and again with them for the parts whose translations do not
        satisfy them: a constrained search costs quality."""
        if options.sampling:
            return self._search_sorted(parts, options)
        found = self._search_sorted([replace(part, constraints=Constraints()) for part in parts], options)
        again = [
            n for n, (part, some) in enumerate(zip(parts, found, strict=True))
            if not all(self.vocabulary.satisfied(part.constraints, one.text) for one in some)
        ]  # fmt: skip
        for n, some in zip(again, self._search_sorted([parts[n] for n in again], options), strict=True):
            found[n] = some
        return found

    def _copy(self, part: Part) -> Translation:
        pieces = self.tokenizer.pieces_target(self.tokenizer.encode_target([part.text])[0])
        segment = Segment(part.span, (0, len(part.text)), (0, len(pieces)))
        return Translation(part.text, 0.0, 0.0, pieces, [0.0] * (len(pieces) + 1), True, (segment,))

    def _search_sorted(self, parts: list[Part], options: Options) -> Found:
        """Search in batches of similar length. Returns: translations in the order of `parts`."""
        results: Found = [[] for _ in parts]
        lengths = [len(part.source) for part in parts]
        order = sorted(range(len(parts)), key=lambda i: lengths[i], reverse=True)
        budget = max([options.section.batch_tokens, *lengths])
        search, done = self._search_settings(options), 0
        with torch.inference_mode(), self.prepared():
            size = max(1, MAX_ROWS // options.sampling.samples) if options.sampling else MAX_SENTENCES
            for batch in cut(order, budget, lengths, [-(-budget // size)] * len(parts)):
                found = self._search_batch([parts[i] for i in batch], search, options)
                for i, hypotheses in zip(batch, found, strict=True):
                    results[i] = [self._translation(h, parts[i].span) for h in hypotheses]
                done += len(batch)
                if options.on_progress is not None:
                    options.on_progress(done, len(parts))
        return results

    def _search_batch(self, batch: list[Part], search: Search, options: Options) -> list[list[Hypothesis]]:
        """Samples or a beam search, by the options."""
        source: list[Any] = [part.source for part in batch]
        if self.engine is not None and self.engine_honours(batch):
            prefixes = [part.prefix for part in batch] if any(part.prefix for part in batch) else []
            wanted = Wanted(least=search.min_lengths(source), prefixes=prefixes, details=options.details)
            return self.engine.search(source, search, wanted)
        rules = search.rules(source, unk=self.tokenizer.unk)
        if any(part.constraints.banned for part in batch):
            rules.append(self.vocabulary.ban([part.constraints for part in batch]))
        if any(part.prefix for part in batch):
            rules = [ForcedPrefix([part.prefix for part in batch], then=rules)]
        if options.sampling:
            if any(part.constraints.required for part in batch):
                raise ConfigError(
                    "samples cannot be made to contain a glossary's terms.", hint="leave out one of the two."
                )
            numbers = [options.first_text + part.owner + (part.number << PART_BITS) for part in batch]
            return sample_search(
                self.searched, source, search=search, sampling=options.sampling, rules=rules, numbers=numbers
            )
        constraints = self.vocabulary.required([part.constraints for part in batch], self.stepper.device)
        with self.searched.prepared():  # `prepared` has not done it where another engine searches all but this batch
            return beam_search(self.searched, source, search=search, rules=rules, constraints=constraints)

    def _search_settings(self, options: Options) -> Search:
        t, longest = self.tokenizer, min(self.max_length, options.section.max_length or self.max_length)
        settings = {**asdict(options.section), "max_length": longest, "nbest": options.nbest}
        return Search(bos=t.bos, eos=t.eos, pad=t.pad, **settings)

    def _translation(self, found: Hypothesis, source: Span) -> Translation:
        text, pieces = self.tokenizer.decode_target(found.tokens), self.tokenizer.pieces_target(found.tokens)
        segment = Segment(source, (0, len(text)), (0, len(pieces)))
        return Translation(text, found.score, found.log_prob, pieces, found.token_log_probs, found.finished, (segment,))
