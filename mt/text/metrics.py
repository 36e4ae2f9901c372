"""Scores of translations against one or more references each, all through sacreBLEU (Post 2018, arXiv 1804.08771).

sacreBLEU is imported on first use, because the import is slow. Its bootstrap is seeded (12345, or the environment's
`SACREBLEU_SEED`), so every number is reproducible; the signature says how it was computed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

import regex

from mt.errors import ConfigError, DataError, check_texts, require
from mt.text.languages import plain_code
from mt.text.words import lacks_spaces

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric
    from sacrebleu.metrics.bleu import BLEU

# Written without spaces between words, or (Korean) in words of many parts: 13a would see one word per sentence.
_BY_CHARACTER = {"ja", "ko", "th", "lo", "km", "my", "bo", "bod", "dz", "dzo"}
_CHINESE = {"zh", "yue", "wuu", "lzh", "nan", "hak"}
_UNNAMED = {"", "src", "tgt"}  # what stands for a language that nobody gave
_HAN = regex.compile(r"\p{Han}")
_OTHER_UNSPACED = regex.compile(r"[\p{Hiragana}\p{Katakana}\p{LB=SA}]")
LOOKED_AT = 1000  # references whose spaces are counted
METRICS = ("bleu", "chrf", "ter", "wer", "cer", "rouge", "exact")  # names that `score_all` and `compare` know
USUAL = METRICS[:3]


@dataclass(frozen=True)
class Score:
    """A corpus score, 0 to 100. Of TER, WER and CER, which count errors, lower is better, and they may pass 100."""

    name: str
    value: float
    signature: str
    confidence: float | None = None  # half the width of the 95 % interval; None: not estimated
    note: str = ""  # what a reader must know before trusting it

    def __str__(self) -> str:
        spread = "" if self.confidence is None else f" ± {self.confidence:.1f}"
        note = f"; {self.note}" if self.note else ""
        return f"{self.name} = {self.value:.1f}{spread} ({self.signature}){note}"


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same sentences. `p_value`: the probability of such a difference if they were equal."""

    name: str
    baseline: float
    other: float
    p_value: float
    signature: str

    def __str__(self) -> str:
        change = f"{self.baseline:.1f} -> {self.other:.1f} ({self.other - self.baseline:+.1f}, p = {self.p_value:.3f})"
        return f"{self.name} = {change} ({self.signature})"


def bleu(hypotheses: Sequence[str], references: Sequence[str], bootstrap: int = 0, *, tokenize: str = "13a") -> Score:
    """BLEU (Papineni et al. 2002): precision of 1- to 4-grams of words, times a brevity penalty.

    `bootstrap` is the number of resamples for the confidence (0: none; 1000 is usual). `tokenize` is a name of
    sacreBLEU's; `bleu_tokenizer_for` suggests one. Raises `DataError` if the texts do not pair up, `ConfigError`
    if a setting cannot be used.
    """
    return _score("BLEU", _bleu(tokenize), hypotheses, references, bootstrap)


def chrf(hypotheses: Sequence[str], references: Sequence[str], bootstrap: int = 0) -> Score:
    """chrF++ (Popović 2017): F2 of 1- to 6-grams of characters and 1- and 2-grams of words. Raises as `bleu`."""
    return _score("chrF++", _chrf(), hypotheses, references, bootstrap)


def ter(hypotheses: Sequence[str], references: Sequence[str], bootstrap: int = 0) -> Score:
    """Translation edit rate (Snover et al. 2006): edits and shifts per reference word, case ignored. As `bleu`.

    On characters if the references are written without spaces, and without shifts where they would take too long: see
    `mt.text.ter`. The note says so.
    """
    return _score("TER", _ter(references), hypotheses, references, bootstrap)


def score_all(
    hypotheses: Sequence[str],
    references: Sequence[str],
    bootstrap: int = 0,
    *,
    tokenize: str = "13a",
    metrics: Sequence[str] = USUAL,
    more: Sequence[Sequence[str]] = (),
) -> list[Score]:
    """The scores of `metrics` (names of `METRICS`) in this order; "rouge" stands for ROUGE-1, ROUGE-2 and ROUGE-L.

    `more` are further sets of references, where an empty line stands for none. Raises as `bleu`.
    """
    made = _made(metrics, references, tokenize)
    return [_score(name, metric, hypotheses, references, bootstrap, more) for name, metric in made.items()]


def compare(
    baseline: Sequence[str],
    other: Sequence[str],
    references: Sequence[str],
    resamples: int = 1000,
    *,
    tokenize: str = "13a",
    metrics: Sequence[str] = USUAL,
    more: Sequence[Sequence[str]] = (),
) -> list[Comparison]:
    """Paired bootstrap test (Koehn 2004) of two systems. Args: as `score_all`.

    Where the two scores are equal the p-value is 1; sacreBLEU itself reports 1 / (resamples + 1) for identical
    outputs, as if they differed for certain. Raises as `bleu`.
    """
    _check_pairs(baseline, references, "baseline hypotheses")
    _check_pairs(other, references, "other hypotheses")
    for lines in more:
        _check_pairs(baseline, lines, "baseline hypotheses")
    _check_resamples("resamples", resamples)
    made = _made(metrics, references, tokenize)

    from sacrebleu.significance import PairedTest

    systems = [("baseline", baseline), ("other", other)]
    test = PairedTest(systems, made, cast("Any", _sets(references, more)), test_type="bs", n_samples=resamples)
    signatures, results = test()
    found = []
    for name, key in zip(made, signatures, strict=True):  # sacreBLEU calls chrF++ chrF2++
        first, second = (result for result in results[key] if not isinstance(result, str))
        p_value = 1.0 if first.score == second.score or second.p_value is None else second.p_value
        found.append(Comparison(name, first.score, second.score, p_value, str(signatures[key])))
    return found


def bleu_tokenizer_for(language: str) -> str:
    """BLEU's tokenizer for a language code such as "de", "zh-TW" or "jpn_Jpan".

    "zh" for Chinese, "char" (one word per character) for Korean and languages without spaces between words, "13a" for
    all others. sacreBLEU also has "ja-mecab" and "ko-mecab", which need MeCab: published scores may use them, and are
    comparable only with scores of the same signature.
    """
    code = plain_code(language)
    if code in _CHINESE:
        return "zh"
    return "char" if code in _BY_CHARACTER else "13a"


def choose_tokenizer(language: str | None, references: Sequence[str]) -> tuple[str, str]:
    """BLEU's tokenizer for a text, and a warning, which is empty where there is nothing to say.

    A known language decides. If it is not known, references without spaces are split into characters.
    """
    tokenize = bleu_tokenizer_for(language or "")
    some = references[:LOOKED_AT]
    if tokenize != "13a" or not lacks_spaces(some):
        return tokenize, ""
    text = "".join(some)
    chinese = len(_HAN.findall(text)) > 10 * len(_OTHER_UNSPACED.findall(text))
    suited, code = ("zh", "zh") if chinese else ("char", "ja or th")
    if (language or "") in _UNNAMED:
        return suited, (
            f"the target language is not known, and the references are written without spaces: BLEU splits them into "
            f"characters (tok:{suited})."
        )
    return tokenize, (
        f"the references are written without spaces, but BLEU splits {language} at spaces (tok:13a), so that a "
        f"sentence is one word and BLEU cannot tell. If the target language is another, name it by its code, "
        f"such as {code}."
    )


def blind_spot(references: Sequence[str], tokenize: str) -> str:
    """Why BLEU cannot tell good from bad translations of these references, in words; empty: it can."""
    if tokenize == "13a" and lacks_spaces(references[:LOOKED_AT]):
        return "the references are written without spaces"
    lengths = [len(bleu_words(tokenize)(line)) for line in references]
    if 2 * sum(length for length in lengths if length >= 4) < sum(lengths):
        return "most references have fewer than four words"
    return ""


def wer_blind_spot(references: Sequence[str]) -> str:
    """Why WER cannot tell good from bad translations of these references, in words; empty: it can."""
    if lacks_spaces(references[:LOOKED_AT]):
        return "the references have no spaces between words, so a sentence is one word; CER counts characters"
    return ""


@cache
def bleu_words(tokenize: str) -> Callable[[str], list[str]]:
    """How BLEU splits a line into words. Raises `ConfigError` if the tokenizer cannot be used."""
    split = cast("BLEU", _bleu(tokenize)).tokenizer
    return lambda line: split(line.rstrip()).split()


def _bleu(tokenize: str) -> "Metric":
    from sacrebleu.metrics.bleu import BLEU

    known = sorted(BLEU.TOKENIZERS)
    require(tokenize in known, "tokenize", f"be one of {', '.join(known)}", tokenize)
    try:
        return BLEU(tokenize=tokenize)
    except (ImportError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"`tokenize` must be a tokenizer that works here, but {tokenize} does not: {reason}"
        ) from error


def _chrf() -> "Metric":
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(word_order=2)


def _ter(references: Sequence[str]) -> "Metric":
    from mt.text.ter import BoundedTER

    check_texts(references=references)
    return BoundedTER(by_character=lacks_spaces(references))


def _made(metrics: Sequence[str], references: Sequence[str], tokenize: str) -> dict[str, "Metric"]:
    """A new metric for each name that a score is shown with."""
    from mt.text.rates import ErrorRate, Exact, Rouge

    makers: dict[str, dict[str, Callable[[], Metric]]] = {
        "bleu": {"BLEU": partial(_bleu, tokenize)},
        "chrf": {"chrF++": _chrf},
        "ter": {"TER": partial(_ter, references)},
        "wer": {"WER": partial(ErrorRate, by_character=False)},
        "cer": {"CER": partial(ErrorRate, by_character=True)},
        "rouge": {f"ROUGE-{kind}": partial(Rouge, kind) for kind in "12L"},
        "exact": {"exact": Exact},
    }
    for name in metrics:
        require(name in makers, "metrics", f"be some of {', '.join(METRICS)}", name)
    return {shown: make() for name in metrics for shown, make in makers[name].items()}


def _sets(references: Sequence[str], more: Sequence[Sequence[str]]) -> list[Sequence[str | None]]:
    return [references, *([line if line.strip() else None for line in lines] for lines in more)]


def _score(
    name: str,
    metric: "Metric",
    hypotheses: Sequence[str],
    references: Sequence[str],
    bootstrap: int,
    more: Sequence[Sequence[str]] = (),
) -> Score:
    for lines in (references, *more):
        _check_pairs(hypotheses, lines, "hypotheses")
    if bootstrap:
        _check_resamples("bootstrap", bootstrap)
        _with_floats(metric)
    found = metric.corpus_score(hypotheses, cast("Any", _sets(references, more)), n_bootstrap=bootstrap)
    confidence = float(found._ci) if bootstrap else None  # sacreBLEU shows it rounded only
    return Score(name, float(found.score), str(metric.get_signature()), confidence, _note(metric, found, references))


def _note(metric: "Metric", found: Any, references: Sequence[str]) -> str:
    """What a reader must know of a score. Args: found: what the metric returned."""
    from mt.text.rates import ErrorRate
    from mt.text.ter import BoundedTER

    if isinstance(metric, BoundedTER):
        return metric.note()
    if isinstance(metric, ErrorRate) and not metric.by_character and (said := wer_blind_spot(references)):
        return said
    if hasattr(found, "counts") and not found.counts[-1]:
        return "no four words in a row are right, so BLEU cannot tell; chrF++ can"
    return ""


def _with_floats(metric: "Metric") -> None:
    """Make every score of the metric a float. sacreBLEU 2.6 calls `statistics.mean` on resampled scores, which cannot
    add numpy's 32-bit floats and the Python float 0.0 of a resample of empty lines.
    """
    compute = metric._compute_score_from_stats

    def with_float(stats: Any) -> Any:
        score = compute(stats)
        score.score = float(score.score)
        return score

    metric._compute_score_from_stats = with_float


def _check_pairs(hypotheses: Sequence[str], references: Sequence[str], what: str) -> None:
    check_texts(**{what.partition(" ")[0]: hypotheses})
    check_texts(references=references)
    if len(hypotheses) != len(references):
        raise DataError(
            f"there must be one reference per line, but there are {len(hypotheses)} {what} and "
            f"{len(references)} references."
        )
    if not hypotheses:
        raise DataError(f"there are no lines to score: the {what} and the references are empty.")


def _check_resamples(key: str, number: int) -> None:
    # Of fewer than 40 resamples, the interval of 95 % contains all.
    require(number >= 40, key, "be at least 40" + (", or 0" if key == "bootstrap" else ""), number)
