"""Entries of a glossary that no translation can satisfy together."""

from mt.decode.constraints.glossary import Entry, Glossary
from mt.errors import DataError


def check_contradictions(glossary: Glossary) -> None:
    """Raises: DataError: for two entries of one term that require different words, or one that requires what another
    one bans; the first two are named."""
    for term, entries in glossary.entries.items():
        required = [entry for entry in entries if not entry.banned]
        for entry in required:
            others = [one for one in required if not {*one.targets} & {*entry.targets}]
            banning = [one for one in (*entries, *glossary.always) if one.banned and {*one.targets} >= {*entry.targets}]
            if banning:
                raise _contradiction(term, entry, banning[0], "which must appear by the one and must not by the other")
            if others:
                raise _contradiction(term, entry, others[0], "which must both appear")


def _contradiction(term: str, entry: Entry, other: Entry, why: str) -> DataError:
    first, second = (f"`{one.source}` as `{_written(one)}`" for one in (entry, other))
    forms = "|".join(dict.fromkeys([*entry.targets, *other.targets]))
    hint = "delete one of the two"
    if not other.banned:
        hint += f", or write the words of which one is used in one entry: {term}<TAB>{forms}"
    return DataError(
        f"{entry.where} and {other.where} contradict each other: {first} and {second}, {why}.", hint=f"{hint}."
    )


def _written(entry: Entry) -> str:
    return "!" * entry.banned + "|".join(entry.targets)
