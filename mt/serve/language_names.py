"""English names of languages, by ISO 639 code."""

from mt.text.languages import NAMES as COMMON
from mt.text.languages import plain_code

NAMES = COMMON | {  # more languages, and fuller names
    "an": "Aragonese", "ast": "Asturian", "ba": "Bashkir", "ceb": "Cebuano", "cv": "Chuvash",
    "fy": "Western Frisian", "gd": "Scottish Gaelic", "gn": "Guarani", "ht": "Haitian Creole",
    "ia": "Interlingua", "kab": "Kabyle", "lg": "Ganda", "ln": "Lingala", "mul": "Multiple languages",
    "nb": "Norwegian Bokmål", "nn": "Norwegian Nynorsk", "ny": "Nyanja", "rm": "Romansh",
    "sc": "Sardinian", "se": "Northern Sami", "sh": "Serbo-Croatian", "sm": "Samoan",
    "st": "Southern Sotho", "su": "Sundanese", "ti": "Tigrinya", "tn": "Tswana", "ts": "Tsonga",
    "wo": "Wolof",
}  # fmt: skip


def language_name(code: str) -> str:
    """ "German" of "de" and of "deu_Latn", "Portuguese (pt-BR)"; an unknown code stands for itself."""
    plain = plain_code(code)
    name = NAMES.get(plain)
    if name is None:
        return code
    return name if code.lower() == plain or plain_code(code) != code.lower().split("-")[0] else f"{name} ({code})"
