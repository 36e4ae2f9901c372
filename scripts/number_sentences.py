"""A test set of sentences with numbers, dates, times, amounts of money and codes, in English, German and Spanish.

    python scripts/number_sentences.py en de numbers [--sentences 500] [--seed 1]
    mt evaluate runs/my-run --test numbers.en numbers.de

The sentences are templates written for this script; the values are drawn from the seed. Every value has the form of its
language ("1,234.50", "1.234,50"), and every numeral of a source is in its reference, so that "numerals kept", which
`mt evaluate` prints, counts all of them. The same command writes the same files. The vocabulary is small: BLEU on these
sentences says little about other text.
"""

import argparse
import random
import string
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from mistakes import run_script

MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
}
LONG_DATE = {"en": "{day} {month} {year}", "de": "{day}. {month} {year}", "es": "{day} de {month} de {year}"}
SHORT_DATE = {
    "en": "{day:02}/{number:02}/{year}",
    "de": "{day:02}.{number:02}.{year}",
    "es": "{day:02}/{number:02}/{year}",
}
MONEY = {"en": "€{}", "de": "{} €", "es": "{} €"}
PERCENT = {"en": "{}%", "de": "{} %", "es": "{} %"}
LETTERS = string.ascii_uppercase.replace("I", "").replace("O", "")  # these two look like digits

# In each: {count} of 2 to 99, {big} with thousands, {decimal}, {percent}, {amount}, {year}, {date}, {short}, {iso},
# {time}, {code}, {serial}, {phone}. A second one of a kind ends in 2.
TEMPLATES = [
    {
        "en": "There are {count} people in the room.",
        "de": "Es sind {count} Personen im Raum.",
        "es": "Hay {count} personas en la sala.",
    },
    {
        "en": "I have read {count} of the {big} pages.",
        "de": "Ich habe {count} der {big} Seiten gelesen.",
        "es": "He leído {count} de las {big} páginas.",
    },
    {
        "en": "The city has {big} inhabitants.",
        "de": "Die Stadt hat {big} Einwohner.",
        "es": "La ciudad tiene {big} habitantes.",
    },
    {
        "en": "In {year} the village had {big} inhabitants, today it has {big2}.",
        "de": "Im Jahr {year} hatte das Dorf {big} Einwohner, heute hat es {big2}.",
        "es": "En {year} el pueblo tenía {big} habitantes, hoy tiene {big2}.",
    },
    {"en": "She was born in {year}.", "de": "Sie wurde {year} geboren.", "es": "Ella nació en {year}."},
    {
        "en": "The house was built in {year} and sold in {year2}.",
        "de": "Das Haus wurde {year} gebaut und {year2} verkauft.",
        "es": "La casa fue construida en {year} y vendida en {year2}.",
    },
    {
        "en": "The meeting is on {date} at {time}.",
        "de": "Die Besprechung ist am {date} um {time} Uhr.",
        "es": "La reunión es el {date} a las {time}.",
    },
    {"en": "He died on {date}.", "de": "Er starb am {date}.", "es": "Murió el {date}."},
    {
        "en": "Please answer by {short}.",
        "de": "Bitte antworten Sie bis zum {short}.",
        "es": "Por favor, responda antes del {short}.",
    },
    {
        "en": "The last change was made on {iso}.",
        "de": "Die letzte Änderung war am {iso}.",
        "es": "El último cambio se hizo el {iso}.",
    },
    {
        "en": "The train leaves at {time} and arrives at {time2}.",
        "de": "Der Zug fährt um {time} ab und kommt um {time2} an.",
        "es": "El tren sale a las {time} y llega a las {time2}.",
    },
    {
        "en": "We open at {time} every day.",
        "de": "Wir öffnen jeden Tag um {time} Uhr.",
        "es": "Abrimos todos los días a las {time}.",
    },
    {"en": "The book costs {amount}.", "de": "Das Buch kostet {amount}.", "es": "El libro cuesta {amount}."},
    {
        "en": "The price fell from {amount} to {amount2}.",
        "de": "Der Preis ist von {amount} auf {amount2} gefallen.",
        "es": "El precio bajó de {amount} a {amount2}.",
    },
    {
        "en": "You owe me {amount} for {count} tickets.",
        "de": "Du schuldest mir {amount} für {count} Karten.",
        "es": "Me debes {amount} por {count} entradas.",
    },
    {
        "en": "The invoice of {short} for {amount} has not been paid.",
        "de": "Die Rechnung vom {short} über {amount} ist nicht bezahlt.",
        "es": "La factura del {short} por {amount} no está pagada.",
    },
    {
        "en": "About {percent} of the students passed the exam.",
        "de": "Etwa {percent} der Studenten haben die Prüfung bestanden.",
        "es": "Cerca del {percent} de los estudiantes aprobó el examen.",
    },
    {
        "en": "Prices rose by {percent} in {year}.",
        "de": "Die Preise sind {year} um {percent} gestiegen.",
        "es": "Los precios subieron un {percent} en {year}.",
    },
    {
        "en": "The library has {big} books.",
        "de": "Die Bibliothek hat {big} Bücher.",
        "es": "La biblioteca tiene {big} libros.",
    },
    {
        "en": "The parcel weighs {decimal} kilograms.",
        "de": "Das Paket wiegt {decimal} Kilogramm.",
        "es": "El paquete pesa {decimal} kilogramos.",
    },
    {
        "en": "The table is {decimal} metres long and {decimal2} metres wide.",
        "de": "Der Tisch ist {decimal} Meter lang und {decimal2} Meter breit.",
        "es": "La mesa mide {decimal} metros de largo y {decimal2} metros de ancho.",
    },
    {
        "en": "My room number is {code}.",
        "de": "Meine Zimmernummer ist {code}.",
        "es": "Mi número de habitación es {code}.",
    },
    {
        "en": "Your order {serial} will arrive in {count} days.",
        "de": "Ihre Bestellung {serial} kommt in {count} Tagen an.",
        "es": "Su pedido {serial} llegará en {count} días.",
    },
    {
        "en": "Flight {code} to Madrid leaves from gate {code2}.",
        "de": "Der Flug {code} nach Madrid geht von Flugsteig {code2} ab.",
        "es": "El vuelo {code} a Madrid sale de la puerta {code2}.",
    },
    {
        "en": "Please enter the code {serial} before {time}.",
        "de": "Bitte geben Sie den Code {serial} vor {time} Uhr ein.",
        "es": "Por favor, introduzca el código {serial} antes de las {time}.",
    },
    {
        "en": "Call me at {phone} after {time}.",
        "de": "Rufen Sie mich nach {time} Uhr unter {phone} an.",
        "es": "Llámeme al {phone} después de las {time}.",
    },
    {
        "en": "Call {phone} if you need help.",
        "de": "Rufen Sie {phone} an, wenn Sie Hilfe brauchen.",
        "es": "Llame al {phone} si necesita ayuda.",
    },
    {
        "en": "The machine {serial} was bought on {date} for {amount}.",
        "de": "Die Maschine {serial} wurde am {date} für {amount} gekauft.",
        "es": "La máquina {serial} fue comprada el {date} por {amount}.",
    },
]


@dataclass(frozen=True)
class Number:
    """A value whose form depends on the language: whole digits, decimals ("" for none), and what stands around it."""

    whole: int
    decimals: str = ""
    around: dict[str, str] | None = None

    def spelled(self, language: str) -> str:
        group, point = (",", ".") if language == "en" else (".", ",")
        text = f"{self.whole:,}".replace(",", group) + (point + self.decimals if self.decimals else "")
        return self.around[language].format(text) if self.around else text


@dataclass(frozen=True)
class Day:
    """A date whose form depends on the language."""

    day: date
    forms: dict[str, str]

    def spelled(self, language: str) -> str:
        month = MONTHS[language].split()[self.day.month - 1]
        return self.forms[language].format(day=self.day.day, month=month, number=self.day.month, year=self.day.year)


@dataclass(frozen=True)
class Same:
    """What every language writes alike."""

    text: str

    def spelled(self, language: str) -> str:
        return self.text


def drawn(kind: str, draw: random.Random) -> Number | Day | Same:
    """A value of a kind of field."""
    letters = "".join(draw.choices(LETTERS, k=2))
    day = date(1950, 1, 1) + timedelta(days=draw.randrange(29_000))
    cents = f"{draw.randrange(1, 100):02}"
    values = {
        "count": Number(draw.randint(2, 99)),
        "big": Number(draw.randint(1_000, 10 ** draw.randint(4, 7))),
        "decimal": Number(draw.randint(2, 99), str(draw.randint(1, 9))),
        "percent": Number(draw.randint(2, 98), draw.choice(["", "", str(draw.randint(1, 9))]), PERCENT),
        "amount": Number(draw.randint(2, 10 ** draw.randint(1, 5)), draw.choice(["", cents]), MONEY),
        "year": Same(str(draw.randint(1600, 2020))),
        "date": Day(day, LONG_DATE),
        "short": Day(day, SHORT_DATE),
        "iso": Same(day.isoformat()),
        "time": Same(f"{draw.randint(10, 23)}:{draw.choice(['15', '20', '30', '45', '50'])}"),
        "code": Same(f"{letters[0]}{draw.randint(10, 999)}"),
        "serial": Same(f"{letters}-{draw.randint(1_000, 99_999)}"),
        "phone": Same(" ".join(f"{draw.randint(11, 99)}" for _ in range(4))),
    }
    return values[kind]


def pairs(src: str, tgt: str, number: int, seed: int) -> list[tuple[str, str]]:
    """`number` different sentences and their translations; the templates take turns."""
    draw = random.Random(seed)
    found: dict[str, str] = {}
    turn = 0
    while len(found) < number:
        template = TEMPLATES[turn % len(TEMPLATES)]
        fields = sorted({name for _, name, _, _ in string.Formatter().parse(template["en"]) if name})
        values = {name: drawn(name.rstrip("2"), draw) for name in fields}
        source, target = (
            template[language].format(**{name: value.spelled(language) for name, value in values.items()})
            for language in (src, tgt)
        )
        found.setdefault(source, target)
        turn += 1
    return list(found.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("src", choices=sorted(MONTHS), help="source language")
    parser.add_argument("tgt", choices=sorted(MONTHS), help="target language")
    parser.add_argument("out", type=Path, help="files to write: OUT.src and OUT.tgt")
    parser.add_argument("--sentences", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.src == args.tgt:
        parser.error("source and target language must differ")
    written = pairs(args.src, args.tgt, args.sentences, args.seed)
    for side, language in enumerate((args.src, args.tgt)):
        path = args.out.with_name(f"{args.out.name}.{language}")
        path.write_text("".join(f"{pair[side]}\n" for pair in written), encoding="utf-8", newline="\n")
        print(path)


if __name__ == "__main__":
    run_script(main)
