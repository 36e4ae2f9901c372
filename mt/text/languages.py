"""Which language a text is in, by py3langid: character n-grams and naive Bayes, with a model for some 140 languages.

Single lines are often too short to tell, so the language of a file is judged by stretches of some hundred characters.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from mt.text.words import has_letters

STRETCH = 300  # characters that are judged together
# Told apart by few words, or not at all.
CLOSE = [
    {"no", "nb", "nn", "da"},
    {"hr", "bs", "sr", "sh"},
    {"id", "ms", "jv"},
    {"cs", "sk"},
    {"zh", "yue", "wuu", "lzh"},
]
LONG_CODES = {  # of three letters, by what the model calls the language
    "ara": "ar", "ben": "bn", "bul": "bg", "cat": "ca", "ces": "cs", "cmn": "zh", "dan": "da", "deu": "de", "ell": "el",
    "eng": "en", "est": "et", "eus": "eu", "fas": "fa", "fin": "fi", "fra": "fr", "ger": "de", "hau": "ha", "heb": "he",
    "hin": "hi", "hrv": "hr", "hun": "hu", "hye": "hy", "ibo": "ig", "ind": "id", "isl": "is", "ita": "it", "jpn": "ja",
    "kat": "ka", "kaz": "kk", "khm": "km", "kor": "ko", "lao": "lo", "lav": "lv", "lit": "lt", "mar": "mr", "mkd": "mk",
    "msa": "ms", "mya": "my", "nld": "nl", "nob": "nb", "nor": "no", "pol": "pl", "por": "pt", "ron": "ro", "rus": "ru",
    "slk": "sk", "slv": "sl", "som": "so", "spa": "es", "sqi": "sq", "srp": "sr", "swa": "sw", "swe": "sv", "swh": "sw",
    "tam": "ta", "tel": "te", "tha": "th", "tur": "tr", "ukr": "uk", "urd": "ur", "uzb": "uz", "vie": "vi", "yor": "yo",
    "zho": "zh", "zul": "zu",
}  # fmt: skip


def plain_code(language: str) -> str:
    """A code as the model has it: without script and region, of two letters where there is one. "zh" of "zho_Hans"."""
    code = language.lower().replace("_", "-").split("-")[0]
    return LONG_CODES.get(code, code)


def is_known(language: str) -> bool:
    """Whether the model tells this language from others."""
    return plain_code(language) in _identifier().labels


def identify(text: str, among: tuple[str, ...] = ()) -> str:
    """The likeliest language. Args: among: codes to choose from, which `is_known`; empty: all."""
    return _identifier(tuple(map(plain_code, among))).classify(text)[0]


def probabilities(text: str, among: Sequence[str]) -> dict[str, float]:
    """How likely a text is in each of some languages, of all that the model tells apart; 0 for a text without letters.

    Args: among: codes, which `is_known`.
    """
    found = dict(_calibrated().rank(text)) if has_letters(text) else {}
    return {code: found.get(plain_code(code), 0.0) for code in among}


def shares(lines: Sequence[str]) -> dict[str, float]:
    """The languages of a text by the share of its stretches, the largest first."""
    found = Counter(identify(stretch) for stretch in _stretches(lines))
    return {language: count / found.total() for language, count in found.most_common()}


def alike(one: str, other: str) -> bool:
    """Whether two codes mean one language, or two that are hardly told apart."""
    one, other = plain_code(one), plain_code(other)
    return one == other or any({one, other} <= group for group in CLOSE)


def _stretches(lines: Sequence[str]) -> Iterator[str]:
    waiting: list[str] = []
    for line in lines:
        waiting.append(line)
        if sum(map(len, waiting)) >= STRETCH:
            yield " ".join(waiting)
            waiting = []
    if waiting:
        yield " ".join(waiting)


@cache
def _identifier(among: tuple[str, ...] = ()) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    found = LanguageIdentifier.from_model_file(MODEL_FILE)
    found.set_languages(list(among) or None)
    return found


@cache
def _calibrated() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
