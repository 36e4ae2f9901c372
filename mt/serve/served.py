"""The models of a server by their direction, and the language of a text among those that they read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mt.checkpoint.model_folder import find_model, languages, tags
from mt.decode.constraints.glossary import Glossary
from mt.decode.load import with_tag
from mt.decode.request import Options, SearchSettings
from mt.decode.translator import Translator
from mt.errors import ConfigError
from mt.postprocess.word_alignments import Linker
from mt.serve.language_names import language_name
from mt.serve.refusal import RefusedError
from mt.text.languages import is_code, is_known, language_of_tag, nearest, probabilities

AUTO = "auto"
DETECTED = 4000  # characters of a text that its language is found from


@dataclass(frozen=True)
class Served:
    """A model in use."""

    path: Path
    src: str
    tgt: str
    translator: Translator
    linker: Linker
    known: dict[int, Options] = field(default_factory=dict[int, Options], compare=False)  # by `nbest`

    def options(self, nbest: int, glossary: Glossary | None = None) -> Options:
        """The model's own settings, with a beam that is wide enough. Settings are checked once: it takes a tenth of a
        millisecond of the thread that all requests share."""
        if nbest not in self.known:
            wide = SearchSettings(beam=nbest, groups=1) if nbest > self.translator.section.beam else SearchSettings()
            self.known[nbest] = self.translator.options(nbest=nbest, **wide)
        return replace(self.known[nbest], glossary=glossary)


def _variety(codes: Iterable[str], asked: str) -> str:
    """The code that a client means, else one of another region of this language; "" if there is none."""
    found = nearest(sorted(codes, key=len), asked)  # "pt" comes before "pt-BR"
    return found if found and (is_code(asked) or found.lower() == asked.lower()) else ""


class Directory:
    """Models by direction. Languages are compared without regard to case."""

    def __init__(self, models: Sequence[Served]) -> None:
        self.models = list(models)
        self.sources = list(dict.fromkeys(model.src for model in models))
        self.targets_of_all = list(dict.fromkeys(model.tgt for model in models))
        self.languages = list(dict.fromkeys(code for model in models for code in (model.src, model.tgt)))

    @classmethod
    def load(cls, paths: Sequence[Path], load: Callable[[Path], Translator]) -> "Directory":
        """Args: load: as `mt.load`. Raises: ConfigError: when two models have one direction; what `load` raises."""
        offered = [(path, *languages(path), tags(path)) for path in paths]
        # Before anything is loaded.
        check_directions(((src, one), path) for path, src, tgt, known in offered for one in targets_of(known, tgt))
        found = []
        for path, src, tgt, known in offered:
            folder = find_model(path)
            translator = load(path)
            translator.require_text(f"a server (`{path}`)")
            for target, tag in targets_of(known, tgt).items():
                one = with_tag(translator, tag) if tag else translator
                found.append(Served(path, src, target, one, Linker.of(one, folder)))
        return cls(found)

    def targets(self, source: str) -> list[str]:
        return [model.tgt for model in self.models if model.src == source]

    def find(self, source: str, target: str) -> Served:
        """The model of a direction, of which clients may name another variety: "en-US" where the model has "en".

        Raises: RefusedError: for a language, or a direction, that no model has. Clients know these sentences.
        """
        for code in (source, target):
            if not _variety(self.languages, code):
                raise RefusedError(400, f"{code[:40]} is not supported")
        src = _variety(self.sources, source) or _variety(self.languages, source)
        tgt = _variety(self.targets(src), target) or _variety(self.languages, target)
        for model in self.models:
            if (model.src, model.tgt) == (src, tgt):
                return model
        raise RefusedError(
            400, f"{language_name(tgt)} ({tgt}) is not available as a target language from {language_name(src)} ({src})"
        )

    def detect(self, texts: Sequence[str], target: str = "") -> list[tuple[str, float]]:
        """The languages that are read here, and translated to `target`, with their probability; the likeliest first.

        The probabilities are among all languages that are told apart, so that they are small for a text in none of
        ours.
        """
        sources = [model.src for model in self.models if not target or _variety([model.tgt], target)]
        sources = list(dict.fromkeys(sources)) or self.sources
        known = [code for code in sources if is_known(code)]
        found = probabilities("\n".join(texts)[:DETECTED], known) if known else {}
        # The sort is stable: without any letter the first model's language comes first.
        return sorted(((code, found.get(code, 0.0)) for code in sources), key=lambda pair: -pair[1])


def targets_of(known: Iterable[str], tgt: str) -> dict[str, str]:
    """The tags of a model that name a language, by this language; else `tgt` without a tag."""
    named = {language_of_tag(tag): tag for tag in sorted(known)}
    named.pop("", None)
    return named or {tgt: ""}


def check_directions(models: Iterable[tuple[tuple[str, str], Path]]) -> None:
    """Raises: ConfigError: when two models have one direction; CheckpointError: when there is no model."""
    seen: dict[tuple[str, str], Path] = {}
    for direction, path in models:
        if direction in seen:
            raise ConfigError(
                f"{seen[direction]} and {path} both translate from {direction[0]} to {direction[1]}; a server has one "
                "model for each direction."
            )
        seen[direction] = path
