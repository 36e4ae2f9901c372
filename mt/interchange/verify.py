"""Compare an exported model with the original: both translate the same sentences with greedy search."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import torch

from mt.config import Unknown
from mt.decode.search.beam import beam_search
from mt.decode.search.engine import Wanted
from mt.decode.search.settings import Hypothesis, Search
from mt.decode.translator import Translator
from mt.errors import CheckpointError, DataError, counted
from mt.nn.forced import force
from mt.text.lines import spread
from mt.text.metrics import bleu, choose_tokenizer, chrf
from mt.text.tokenizer import Tokenizer

MOST = 200  # sentences
OWN = 40  # made sentences, where none are given
LONGEST_OWN = 12  # pieces
WORST_EXACT = 1e-3  # a log-probability in 32 bits; measured: 1e-5
MEAN_ROUNDED = 0.05  # the mean difference of log-probabilities with smaller numbers; measured: 0.01 with int8
OTHER_EXACT = 0.01  # the share of sentences that near ties may change in 32 bits
LOST = 1.0  # of BLEU and chrF++, each of which a few changed sentences move by some tenths


@dataclass(frozen=True)
class Sample:
    """Sentences to translate. `references`: as many, or none."""

    sources: list[str]
    references: list[str]
    origin: str  # for the report: "40 sentences of val.en"

    def some(self) -> "Sample":
        """At most `MOST` sentences, evenly spread."""
        return self._at(spread(len(self.sources), MOST))

    def searched(self, tokenizer: Tokenizer) -> "Sample":
        """The sentences that have pieces: others, such as empty lines, are never searched, and each engine has its own
        answer to them."""
        ids = tokenizer.encode_source(self.sources)
        return self._at([place for place, some in enumerate(ids) if len(some) > 1])

    def _at(self, places: Sequence[int]) -> "Sample":
        references = [self.references[place] for place in places] if self.references else []
        return Sample([self.sources[place] for place in places], references, self.origin)


def own_sample(translator: Translator, seed: int = 1) -> Sample:
    """Sentences of random pieces of the model's own source vocabulary."""
    t, draw = translator.tokenizer, random.Random(seed)
    marks = {t.unk, t.bos, t.eos, t.pad}
    pieces = [piece for piece in range(t.src_size) if piece not in marks]
    longest = max(1, min(LONGEST_OWN, translator.max_length // 2))
    texts = [t.decode_source(draw.choices(pieces, k=draw.randint(1, longest))) for _ in range(4 * OWN)]
    some = Sample(texts, [], "").searched(t).sources[:OWN]  # pieces of bytes may spell nothing
    return Sample(some, [], f"{len(some)} sentences of random pieces")


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How an export compares with its model."""

    origin: str
    sentences: int
    equal: int  # with the same pieces
    worst: float  # difference of the log-probability of a piece
    mean: float
    scores: dict[str, tuple[float, float]]  # of the model and of the export, by the name of the metric
    first_other: tuple[str, str, str] | None  # source and both translations of the first sentence that differs

    def faults(self, exact: bool) -> list[str]:
        """Args: exact: whether the weights are in 32 bits."""
        found = []
        other = self.sentences - self.equal
        if exact and other > max(1, OTHER_EXACT * self.sentences):
            found.append(f"{other} of {counted(self.sentences, 'translation')} differ")
        if exact and not self.worst <= WORST_EXACT:
            found.append(f"a log-probability differs by {self.worst:.2g}, more than {WORST_EXACT:g}")
        if not exact and not self.mean <= MEAN_ROUNDED:
            found.append(f"log-probabilities differ by {self.mean:.2g} on average, more than {MEAN_ROUNDED:g}")
        found += [
            f"{name} falls from {before:.1f} to {after:.1f}"
            for name, (before, after) in self.scores.items()
            if after < before - LOST
        ]
        if found and self.first_other:
            source, ours, theirs = self.first_other
            shown = [repr(text[:70]) for text in (theirs, ours, source)]
            found.append("the first other translation is {} for {}, of {}".format(*shown))
        return found

    def __str__(self) -> str:
        scores = "".join(f"; {name} {before:.1f} and {after:.1f}" for name, (before, after) in self.scores.items())
        return (
            f"verified on {self.origin}: {self.equal} of {counted(self.sentences, 'greedy translation')} equal, "
            f"log-probabilities within {self.worst:.1g}{scores}"
        )


class Engine(Protocol):
    """An exported model. Sentences are token ids of our tokenizer; sources end with eos."""

    def check(self, texts: Sequence[str]) -> None:
        """Raises: CheckpointError: unless a tokenizer of the engine splits these texts as ours."""
        ...

    def search(self, source: Sequence[Sequence[int]], search: Search, wanted: Wanted) -> list[list[Hypothesis]]: ...

    def log_probs(self, source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> list[list[float]]: ...


def verify(translator: Translator, engine: Engine, sample: Sample, *, tgt: str, exact: bool = True) -> Verification:
    """Compare an engine with the model that it was made of.

    Args: tgt: the target language, which decides how BLEU splits words; exact: whether the weights are in 32 bits.
    Raises: CheckpointError: when they differ; the message says in what. DataError: for a sample without sentences.
    """
    t, model = translator.tokenizer, translator.stepper.model
    sample = sample.searched(t).some()
    if not sample.sources:
        raise DataError(f"nothing can be verified on {sample.origin}.", hint="name a file with sentences.")
    engine.check(sample.sources)
    ids = [[*some[: translator.max_length][:-1], t.eos] for some in t.encode_source(sample.sources)]
    plain = {"beam": 1, "groups": 1, "coverage_penalty": 0.0, "no_repeat_ngram": 0, "unknown": Unknown.keep}
    settings = {**asdict(translator.section), **plain, "max_length": translator.max_length - 1}  # scores count eos
    search = Search(bos=t.bos, eos=t.eos, pad=t.pad, **settings)
    with torch.inference_mode(), translator.stepper.prepared():
        ours = [some[0].tokens for some in beam_search(translator.stepper, ids, search=search)]
    theirs = [some[0].tokens for some in engine.search(ids, search, Wanted(details=False))]
    forced = [one.log_probs.tolist() for one in force(model, ids, ours, bos=t.bos, eos=t.eos, uses=())]
    pairs = zip(forced, engine.log_probs(ids, ours), strict=True)
    gaps = [abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True)]
    texts = [[t.decode_target(tokens) for tokens in side] for side in (ours, theirs)]
    others = [n for n, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other]
    found = Verification(
        origin=sample.origin, sentences=len(ids), equal=len(ids) - len(others),
        worst=max(gaps, key=lambda gap: (gap != gap, gap)), mean=sum(gaps) / len(gaps),  # NaN is the worst
        scores=_scores(texts, sample.references, tgt),
        first_other=(sample.sources[others[0]], texts[0][others[0]], texts[1][others[0]]) if others else None,
    )  # fmt: skip
    if faults := found.faults(exact):
        raise CheckpointError(
            f"the export does not translate as the model does, on {found.origin}: {'; '.join(faults)}."
        )
    return found


def _scores(texts: Sequence[Sequence[str]], references: Sequence[str], tgt: str) -> dict[str, tuple[float, float]]:
    if not references:
        return {}
    tokenize, _ = choose_tokenizer(tgt, references)
    both = [(bleu(side, references, tokenize=tokenize), chrf(side, references)) for side in texts]
    return {one.name: (one.value, other.value) for one, other in zip(*both, strict=True)}
