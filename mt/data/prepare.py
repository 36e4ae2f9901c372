"""Prepared data: the text of a run, read, cleaned and tokenised."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from mt.config import BatchConfig, CleanConfig, DataConfig, Input, Subset, TokenizerConfig, parse_inputs
from mt.data.batching import TokenizedCorpus
from mt.data.batching.input_rows import check_rows, check_test
from mt.data.clean.rules import Pipeline, describe
from mt.data.corpus.catalog import Corpus, fetch
from mt.data.corpus.own import read_own
from mt.data.corpus.pair import Pair
from mt.data.training_links import LinkTable, by_corpus, read_links
from mt.errors import counted
from mt.inputs.reader import InputReader, described, fit, texts_of
from mt.progress import Waiting, elapsing
from mt.text.lines import spread
from mt.text.roundtrip import round_trip
from mt.text.sentences import Usual, sentences
from mt.text.tokenizer import Tokenizer
from mt.text.tokenizer_training import train_tokenizer
from mt.text.words import is_word

logger = logging.getLogger("mt")
UNLIMITED = sys.float_info.max  # for `clean.max_ratio`
MANY = 0.05  # of the training pairs: leaving out so many is no detail
SAMPLED = 10_000  # training lines at most, for `PreparedData.usual`


@dataclass(frozen=True)
class PreparedData:
    """The corpus after cleaning and tokenisation.

    `corpus.train` is empty: `train` holds the pairs that are left of it.
    """

    corpus: Corpus
    refusals: dict[str, int]
    tokenizer: Tokenizer
    train: TokenizedCorpus
    dev: TokenizedCorpus
    links: LinkTable | None = None  # of the pairs of `train`
    known: Usual | None = None  # of the text that the initial weights were trained on

    @property
    def reader(self) -> InputReader | None:
        """Of sources that are not text."""
        return self.train.reader

    @property
    def inputs(self) -> list[Input]:
        """Columns of tables; empty: the sources are text."""
        return [] if self.reader is None else self.reader.inputs

    @cached_property
    def usual(self) -> Usual | None:
        """What the training text usually holds, from an even sample of lines: the 99.9th percentile of the lengths of
        source lines, the 95th of their sentences, because a splitter sometimes cuts a sentence in two, and the number
        of target tokens for each source token, and whether most lines end in a mark. Lengths that the initial weights
        know stay usual. None for sources that are not text."""
        if self.reader is not None:
            return None
        places = range(0, len(self.train), -(-len(self.train) // SAMPLED))
        lengths = self.train.source.flat(np.array(places)).lengths
        written = self.train.target.flat(np.array(places)).lengths + 1  # with the end mark, as source lines
        texts = [self.train.pairs[place].src for place in places]
        counts = [len(sentences(text, self.corpus.src).parts) for text in texts]
        marked = [not is_word(text.rstrip()[-1]) for text in texts if text.strip()]
        known = self.known or Usual(1)
        return Usual(
            max(known.pieces, int(np.quantile(lengths, 0.999, method="inverted_cdf"))),
            max(known.sentences, int(np.quantile(counts, 0.95, method="inverted_cdf"))),
            round(float(written.sum() / lengths.sum()), 4),
            2 * sum(marked) > len(marked),
        )


def read_corpus(data: DataConfig) -> Corpus:
    """The user's files if `data.train` names some, else the catalogue's corpus. Raises: DataError, ConfigError."""
    return read_own(data) if data.train else fetch(str(data.corpus), Path(data.root))


def some_of(pairs: Sequence[Pair], most: int | None, subset: Subset) -> list[Pair]:
    """At most `most` of the pairs, None: all."""
    if subset is Subset.first or most is None:
        return list(pairs[:most])
    return [pairs[place] for place in spread(len(pairs), most)]


def prepare(
    *,
    data: DataConfig,
    clean: CleanConfig,
    tokenizer: TokenizerConfig,
    batch: BatchConfig,
    longest: int | None,
    links: Sequence[str] = (),
    given: Tokenizer | None = None,
    fitted: Sequence[Input] = (),
) -> PreparedData:
    """Read, clean and tokenise; log what is left out.

    Args: longest: dev pairs with more pieces than these positions of the model are left out, None: no limit; links:
    files of word links, one for each corpus of `data.train`; given: the tokenizer, None: one is trained; fitted: the
    inputs with sizes and scales, if initial weights have them; without, they are found in the text.
    Raises: DataError, ConfigError: when the text or the settings cannot be used.
    """
    if links:
        by_corpus(links, data.train)  # raises before the text is read
    inputs = parse_inputs(data.inputs)
    check_rows(inputs, batch, longest)
    corpus = read_corpus(data)
    sizes = f"{len(corpus.train):,} / {len(corpus.dev):,} / {len(corpus.test):,}"
    licence = "" if data.train else f"; licence: {corpus.licence}"
    logger.info(f"corpus {corpus.name}: {sizes} pairs (train / dev / test){licence}")
    # The length of a source that names files says nothing about its translation.
    pairs, refusals = _cleaned(corpus.train, data, replace(clean, max_ratio=UNLIMITED) if inputs else clean)
    sources, targets = [pair.src for pair in pairs], [pair.tgt for pair in pairs]
    texts = texts_of(inputs, sources) if inputs else sources
    trained = given or _trained(texts, targets, tokenizer, Path(data.cache) / "tokenizers")
    if inputs and not fitted:
        fitted = fit(inputs, sources, [pair.origin for pair in pairs])
    for one in fitted:
        logger.info(f"input `{one.column}`: {described(one)}")
    reader = InputReader(fitted, trained.encode_source) if fitted else None
    lost = round_trip(targets, lambda text: trained.decode_target(trained.encode_target([text])[0]), corpus.tgt)
    if lost.changed:
        logger.warning(f"{lost}")
    train = TokenizedCorpus(
        pairs, trained, max_length=batch.max_length, cache=Path(data.cache) / "corpora", reader=reader
    )
    if train.num_too_long:
        few = train.num_too_long < MANY * (len(train) + train.num_too_long)
        logger.log(
            logging.INFO if few else logging.WARNING,
            f"left out {counted(train.num_too_long, 'training pair')} with more than {batch.max_length} {train.unit} "
            f"(`batch.max_length`) on a side{'' if few else train.to_keep_all()}",
        )
    dev = TokenizedCorpus(
        corpus.dev, trained, max_length=longest, kind="dev", setting="model.max_length", reader=reader
    )
    if dev.num_too_long:
        logger.warning(
            f"left out {counted(dev.num_too_long, 'dev pair')} with more than {longest} {dev.unit} "
            "(`model.max_length`) on a side"
        )
    if reader is not None:
        check_test(corpus.test, reader, batch.max_length)
    found = None
    if links:
        found = read_links(links, data.train, train, src=corpus.src, tgt=corpus.tgt, columns=data.columns)
    # The training pairs are in a table now. As a list, ten million of them would take gigabytes.
    return PreparedData(replace(corpus, train=[]), refusals, trained, train, dev, found)


def _cleaned(pairs: Sequence[Pair], data: DataConfig, section: CleanConfig) -> tuple[list[Pair], dict[str, int]]:
    """The pairs that stay, at most `data.limit`, and the report of the cleaning."""
    cleaning = Pipeline(section)
    with Waiting("cleaning the text", plain=True) as wait:
        read = wait.each(pairs, len(pairs))
        kept = list(islice(cleaning(read), data.limit if data.subset is Subset.first else None))
    refusals = cleaning.report()
    if removed := refusals["read"] - refusals["kept"]:
        logger.info(f"removed {counted(removed, 'training pair')}: {describe(refusals)} (settings: `clean`)")
    return some_of(kept, data.limit, data.subset), refusals


def _trained(sources: Sequence[str], targets: Sequence[str], section: TokenizerConfig, cache: Path) -> Tokenizer:
    most = max(1, section.max_sentences // 2)  # of a side
    count = sum(min(len(texts), most) for texts in (sources, targets))
    with elapsing(f"training SentencePiece on {count:,} sentences", plain=True):
        return train_tokenizer(sources, targets, section, cache)
