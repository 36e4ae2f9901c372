"""The interface between a translator and an engine that searches in place of `beam_search`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mt.config import DecodeConfig
from mt.config.decode import own_search
from mt.decode.search.settings import Hypothesis, Search
from mt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a search asks for besides its settings, for each sentence; empty: nothing."""

    least: Sequence[int] = ()  # lengths, without eos
    prefixes: Sequence[Sequence[int]] = ()
    details: bool = True  # log-probabilities of single tokens, which cost one more pass


@runtime_checkable  # for the type checks in tests
class SearchEngine(Protocol):
    """A model in another engine. It honours what `mt.config.decode.own_search` does not name."""

    name: str
    at_once: int  # threads that may call `search` at the same time

    def side_by_side(self) -> AbstractContextManager[object]:
        """A context in which `at_once` threads search, each with its share of the processors."""
        ...

    def search(self, source: Sequence[Sequence[int]], search: Search, wanted: Wanted) -> list[list[Hypothesis]]:
        """The `nbest` hypotheses of every sentence, best first, as `beam_search` gives them; a sentence does not depend
        on the others. Args: source: token ids, ended by eos."""
        ...


def check_engine(engine: SearchEngine | None, section: DecodeConfig, *, sampling: bool) -> None:
    """Raises: ConfigError: for all settings that the engine cannot honour."""
    against = [*own_search(section), *(["sampling"] if sampling else [])]
    if engine is not None and against:
        raise ConfigError(
            f"the engine {engine.name} cannot honour {', '.join(f'`{name}`' for name in against)}.",
            hint="leave out what it cannot honour, or use the engine torch.",
        )
