"""Which language a text is in, by py3langid: character n-grams and naive Bayes, with a model for some 140 languages.

Single lines are often too short to tell, so the language of a file is judged by stretches of some hundred characters.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from functools import cache
from typing import Any

from mt.errors import ConfigError, MtError
from mt.files import explained
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
    # ISO 639-2 has a second code for some.
    "alb": "sq", "arm": "hy", "baq": "eu", "bur": "my", "chi": "zh", "cze": "cs", "dut": "nl", "fre": "fr", "geo": "ka",
    "gre": "el", "ice": "is", "mac": "mk", "may": "ms", "per": "fa", "rum": "ro", "tib": "bo", "wel": "cy", "bod": "bo",
}  # fmt: skip
# Countries, of whose codes file names are made. `kr` is also Kanuri, which hardly any corpus has.
COUNTRIES = {"cn": "zh", "jp": "ja", "kr": "ko", "cz": "cs", "dk": "da", "gr": "el", "ua": "uk", "vn": "vi"}
NAMES = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "as": "Assamese", "az": "Azerbaijani", "be": "Belarusian",
    "bg": "Bulgarian", "bn": "Bengali", "bo": "Tibetan", "br": "Breton", "bs": "Bosnian", "ca": "Catalan",
    "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "dz": "Dzongkha", "el": "Greek", "en": "English",
    "eo": "Esperanto", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish",
    "fo": "Faroese", "fr": "French", "ga": "Irish", "gd": "Gaelic", "gl": "Galician", "gu": "Gujarati",
    "ha": "Hausa", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "ht": "Haitian", "hu": "Hungarian",
    "hy": "Armenian", "id": "Indonesian", "ig": "Igbo", "is": "Icelandic", "it": "Italian", "ja": "Japanese",
    "jv": "Javanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ko": "Korean",
    "ku": "Kurdish", "ky": "Kyrgyz", "la": "Latin", "lb": "Luxembourgish", "lo": "Lao", "lt": "Lithuanian",
    "lv": "Latvian", "mg": "Malagasy", "mi": "Maori", "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian",
    "mr": "Marathi", "ms": "Malay", "mt": "Maltese", "my": "Burmese", "nb": "Bokmål", "ne": "Nepali",
    "nl": "Dutch", "nn": "Nynorsk", "no": "Norwegian", "oc": "Occitan", "or": "Odia", "pa": "Punjabi",
    "pl": "Polish", "ps": "Pashto", "pt": "Portuguese", "qu": "Quechua", "ro": "Romanian", "ru": "Russian",
    "rw": "Kinyarwanda", "sa": "Sanskrit", "sd": "Sindhi", "se": "Sami", "si": "Sinhala", "sk": "Slovak",
    "sl": "Slovenian", "sn": "Shona", "so": "Somali", "sq": "Albanian", "sr": "Serbian", "sv": "Swedish",
    "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "tg": "Tajik", "th": "Thai", "tk": "Turkmen", "tl": "Tagalog",
    "tr": "Turkish", "tt": "Tatar", "ug": "Uyghur", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek",
    "vi": "Vietnamese", "vo": "Volapük", "wa": "Walloon", "xh": "Xhosa", "yi": "Yiddish", "yo": "Yoruba",
    "yue": "Cantonese", "zh": "Chinese", "zu": "Zulu",
}  # fmt: skip
CHINESE = {"cn": "hans", "sg": "hans", "my": "hans", "tw": "hant", "hk": "hant", "mo": "hant"}  # regions
# Written from right to left, unless a code names another script.
RIGHT_TO_LEFT = {
    "ar", "arc", "arz", "azb", "ckb", "dv", "fa", "he", "iw", "ji", "nqo", "ps", "sd", "syr", "ug", "ur", "yi",
}  # fmt: skip
RIGHT_TO_LEFT_SCRIPTS = {"adlm", "arab", "hebr", "nkoo", "syrc", "thaa"}
BY_NAME = {name.casefold(): code for code, name in NAMES.items()}
# The other codes of two letters in ISO 639-1.
UNNAMED_CODES = {
    "aa", "ab", "ae", "ak", "an", "av", "ay", "ba", "bh", "bi", "bm", "ce", "ch", "co", "cr", "cu", "cv", "dv",
    "ee", "ff", "fj", "fy", "gn", "gv", "ho", "hz", "ia", "ie", "ii", "ik", "io", "iu", "kg", "ki", "kj", "kl",
    "kr", "ks", "kv", "kw", "lg", "li", "ln", "lu", "na", "nd", "ng", "nr", "nv", "ny", "oj", "om", "os", "pi",
    "rm", "rn", "sc", "sg", "sh", "sm", "ss", "st", "su", "ti", "tn", "to", "ts", "tw", "ty", "ve", "wo", "za",
    "iw", "in", "ji",
}  # fmt: skip
MADE_UP = {"src", "tgt"}  # what languages that nobody named are called
CODE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")


TAG = re.compile(r"<2([\w-]+)>|>>([\w-]+)<<|__([A-Za-z_-]+?)__")  # as Johnson et al. 2017, OPUS-MT and fairseq have it


def plain_code(language: str) -> str:
    """A code as the model has it: without script and region, of two letters where there is one. "zh" of "zho_Hans".

    The codes of some countries count as those of their languages: "zh" of "cn".
    """
    code = language.lower().replace("_", "-").split("-")[0]
    return LONG_CODES.get(code) or COUNTRIES.get(code, code)


def tag_of(language: str) -> str:
    """A code as documents name languages (BCP 47): "zh-Hans" of "zho_Hans"."""
    _, *more = language.replace("_", "-").split("-")
    return "-".join([plain_code(language), *more])


def direction_of(language: str) -> str:
    """In which direction a language is written, as HTML names it: "rtl" or "ltr"."""
    script = _script(language.lower().replace("_", "-"))
    right_to_left = script in RIGHT_TO_LEFT_SCRIPTS if script else plain_code(language) in RIGHT_TO_LEFT
    return "rtl" if right_to_left else "ltr"


def language_of_tag(tag: str) -> str:
    """The language that a tag asks for, as documents name it: "de" of "<2de>", ">>deu<<" and "__de__"; "" if none."""
    found = TAG.fullmatch(tag)
    code = next(filter(None, found.groups()), "") if found else ""
    return tag_of(code) if is_code(code) else ""


def is_code(language: str) -> bool:
    """Whether this is a code of ISO 639-1, or looks like one of ISO 639-3; script and region may follow."""
    code = plain_code(language)
    return bool(CODE.fullmatch(language)) and (len(code) == 3 or code in NAMES or code in UNNAMED_CODES)


def has_name(language: str) -> bool:
    """Whether this is the English name of a language, such as "Chinese"."""
    return language.casefold() in BY_NAME


def code_of(name: str) -> str:
    """The plain code that a name means: "en" of "en-US", "ENG" and "English"; "" for what names no language."""
    if CODE.fullmatch(name) and (code := plain_code(name)) in {*NAMES, *UNNAMED_CODES}:
        return code
    return BY_NAME.get(name.casefold(), "")


def nearest(names: Iterable[str], language: str) -> str | None:
    """The one of some names, in any style, that means a language; else a variety of it, but in no other script.

    "en-GB", "ENG" and "English" are found for "en"; for "zh-Hant", "zh-TW" is found, else "zh", but not "zh-CN".
    """
    folded = {name.lower().replace("_", "-"): name for name in reversed(list(names))}
    if own := folded.get(wanted := language.lower().replace("_", "-")):
        return own
    plain, script = plain_code(language), _script(wanted)
    alike = [code for code in reversed(folded) if plain in (plain_code(code), code_of(code))]
    fitting = [code for one in (script, "") for code in alike if _script(code) == one] if script else alike
    return next((folded[code] for code in fitting), None)


def _script(code: str) -> str:
    """The script that a code names, in small letters, or that Chinese has in its region; "" for none."""
    _, *parts = code.split("-")
    named = next((part for part in parts if len(part) == 4 and part.isalpha()), "")
    return named or next((CHINESE[part] for part in parts if part in CHINESE and plain_code(code) == "zh"), "")


def check_code(language: str, key: str) -> str:
    """The code. Raises: ConfigError: with the nearest code, when it is not one. Args: key: what was set."""
    if is_code(language):
        return language
    known = BY_NAME | {code: code for code in NAMES}
    (nearest,) = difflib.get_close_matches(language.casefold(), known, n=1, cutoff=0.0)
    code = known[nearest]
    raise ConfigError(
        f"{key} must be a language code such as de or zho_Hans, but is {language!r}.",
        hint=f"the nearest is `{code}` ({NAMES[code]}).",
    )


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
    found = dict(_identifier(calibrated=True).rank(text)) if has_letters(text) else {}
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
    waiting, size = list[str](), 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= STRETCH:
            yield " ".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield " ".join(waiting)


@cache
def _identifier(among: tuple[str, ...] = (), *, calibrated: bool = False) -> Any:
    """Args: calibrated: it gives probabilities instead of scores."""
    found = copy(_model(calibrated))
    found.set_languages(list(among) or None)
    return found


@cache
def _model(calibrated: bool) -> Any:
    """That of all languages, which takes most of a second to unpack."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    # It is unpacked into a temporary file.
    with explained("what tells languages apart cannot be unpacked into the folder of temporary files", MtError):
        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=calibrated)
