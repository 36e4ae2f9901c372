"""The model that a run went on from and the model of the run, on the same test sets."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mt.checkpoint.model_folder import find_run
from mt.config import DecodeConfig, Precision
from mt.data.corpus.pair import Pair
from mt.data.prepare import PreparedData
from mt.decode.load import translator_of
from mt.decode.translator import Translator
from mt.errors import CheckpointError, MtError, counted
from mt.evaluate import Report, evaluate
from mt.progress import Waiting
from mt.text.metrics import choose_tokenizer, compare
from mt.train.evaluation_set import test_of_run
from mt.train.origin import Origin

logger = logging.getLogger("mt")


@dataclass(frozen=True)
class Before:
    """The model that a run went on from, for the comparison at the end of the run."""

    origin: Origin
    decode: DecodeConfig  # of the run: both models are searched with it
    precision: Precision

    def compare(self, after: Translator, prepared: PreparedData, report: Report | None, folder: Path) -> str:
        """Both models on the test set of the run, or on dev if there is none, and on the test set of the first model.

        Args: report: of the run's model on its test set; None: it has none; folder: takes the reports.
        """
        try:
            stored = self.origin.read()
            before = translator_of(stored, after.stepper.device, self.decode, self.precision)
        except CheckpointError as error:
            return f"The model before this run cannot be compared: {error}"
        corpus, path = prepared.corpus, self.origin.path
        title = f"the test set of {corpus.name}"
        if report is None:
            title = f"the dev set of {corpus.name}, which chose the weights"
            report = _score("dev", after, corpus.dev, corpus.tgt)
        pairs = corpus.test or corpus.dev
        parts = [f"{path} (before) -> this run (after), paired bootstrap"]
        parts.append(_part(title, before, pairs, report, folder, corpus.tgt))
        if own := self._own_test(corpus.test):
            tgt = stored.description.tgt
            found = _score("old", after, own, tgt)
            parts.append(_part(f"the test set of {path}", before, own, found, folder, tgt))
        return "\n\n".join(parts)

    def _own_test(self, test: Sequence[Pair]) -> list[Pair]:
        """The test set of the run that made the first model; empty where it has none, or cannot be read any more."""
        try:
            run = find_run(self.origin.read().path)
            own = test_of_run(run) if run is not None else []
        except MtError as error:
            logger.warning(
                f"the test set of {self.origin.path} cannot be read, so what was lost is not measured: {error}"
            )
            return []
        if not own:
            logger.info(f"{self.origin.path} has no test set of its own, so what was lost is not measured")
        same = [(pair.src, pair.tgt) for pair in own] == [(pair.src, pair.tgt) for pair in test]
        return [] if same else own


def _part(title: str, before: Translator, pairs: Sequence[Pair], after: Report, folder: Path, tgt: str) -> str:
    """The comparison on one set, whose language is `tgt`. The reports of both models go to `folder`."""
    first = _score(f"{after.name}.init", before, pairs, tgt)
    for report in (first, after):
        report.write(folder)
    tokenize, _ = choose_tokenizer(tgt, after.references)
    found = compare(first.hypotheses, after.hypotheses, after.references, tokenize=tokenize)
    return "\n".join([f"{title}, {counted(len(pairs), 'sentence')}:", *map(str, found)])


def _score(name: str, translator: Translator, pairs: Sequence[Pair], tgt: str) -> Report:
    sources, references = [pair.src for pair in pairs], [pair.tgt for pair in pairs]
    with Waiting("comparing the models", plain=True) as wait:
        return evaluate(name, partial(translator.translate, on_progress=wait.show), sources, references, tgt=tgt)
