"""The folder of a run: its files, its lock, and the check that a restart has the same settings and text."""

import json
import logging
import shlex
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from mt.checkpoint import RunLock, read_manifest
from mt.checkpoint.folder import find_problem
from mt.compute.distributed import Group
from mt.config import Config, check_start
from mt.errors import CheckpointError, ConfigError, DataError, MtError, StoppedError, counted, spelt
from mt.files import clean_up, explained, in_words, obstacle, read_json, write_text
from mt.log import setup
from mt.provenance import machine
from mt.train.overview import FAILURE
from mt.train.saved_config import flatten, parse_yaml, read_config, read_facts
from mt.train.signals import stops_at_once
from mt.train.start_folder import KEY as START
from mt.train.state import TrainState
from mt.train.validate import Validation

logger = logging.getLogger("mt")
# Sections that must not change within a run.
MUST_MATCH = {"init", "data", "clean", "tokenizer", "model", "batch", "loss", "alignment", "optim"}
MUST_MATCH_KEYS = {"train.seed", "train.ema", "train.precision", "train.watch", "train.spike_sigmas", "schedule.name"}
# The text may be in other files: the fingerprints in the manifest are compared (`check_text`).
NAMED = 5  # settings in one message
MAY_MOVE = {"data.root", "data.cache", "data.workers", "data.train", "data.dev", "data.test", "alignment.links"}
YOUNGER = {"data.dev": "data.dev_fingerprint", "data.test": "data.test_fingerprint"}  # older manifests lack them
OWN_NAME = "restore it, or give the new run its own name: `run.name=...`"


class RunFolder:
    """`runs/<name>/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.manifest = path / "manifest.json"
        self.log = path / "train.log"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"
        self.samples = path / "samples"
        self.evaluation = path / "eval"
        self.bad_batches = path / "bad_batches"
        self._replaced: str | None = None  # the settings of an earlier start
        self._changed: dict[str, str] = {}  # what differs from them, in words

    def as_begun(self, config: Config) -> Config:
        """The settings with which a run of an older version goes on: where a default has changed since (`before` in the
        metadata of the setting), that of then, unless another value is given now."""
        if not (self.config.exists() and self.has_checkpoints):
            return config
        known, changed = flatten(read_config(self.config)), {}
        for name in (item.name for item in fields(config)):
            section = getattr(config, name)
            before = {
                item.name: item.metadata["before"]
                for item in fields(section)
                if "before" in item.metadata
                and getattr(section, item.name) == item.default
                and known.get(f"{name}.{item.name}", item.metadata["before"]) == item.metadata["before"]
            }
            changed[name] = replace(section, **before)
        return Config(**changed)

    def check_start(self, config: Config) -> None:
        """Raises: ConfigError: for a setting that a new run must not have; one with checkpoints goes on with it."""
        if not self.has_checkpoints:
            check_start(config)

    def begin(self, config: dict[str, Any], defaults: dict[str, Any]) -> None:
        """Write the settings; if there are checkpoints, first compare the settings with those of the run.

        Args: defaults: for settings that did not exist when the run was started.
        Raises: ConfigError: when a setting differs that must not change within a run; CheckpointError: when there is a
        model, which a new training would replace, and no checkpoint to go on from.
        """
        if self.model.exists() and not self.has_checkpoints:
            typed = shlex.quote(str(self.path))
            raise CheckpointError(
                f"`{self.path}` has a model but no checkpoint to go on from, and a new training would replace the "
                "model.",
                hint="begin another run with `run.name=...`, from this model if you add "
                f"`init={typed}`, or move `{self.path}` away to start again.",
            )
        if self.config.exists() and self.has_checkpoints:
            told = flatten(read_json(self.manifest)) if self.manifest.exists() else {}
            stay = {key for key, fingerprint in YOUNGER.items() if fingerprint not in told}
            self._changed = check_drift(read_config(self.config), config, defaults, self.path, stay=stay)
            self._replaced = self.config.read_text(encoding="utf-8")
        elif self.has_checkpoints:
            logger.warning(f"`{self.config}` is missing: nothing tells whether these are the settings of the run.")
        write_text(self.config, yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True))

    def settle(self) -> None:
        """From now on the settings of this start are those of the run."""
        if self._changed:
            logger.info(f"going on with changed settings: {'; '.join(self._changed.values())}")
        self._replaced, self._changed = None, {}

    def keep_settings(self) -> None:
        """For a finished run, which a start does not change: put its settings back, but for where its text is now."""
        if self._replaced is None:
            return
        before, now = parse_yaml(self._replaced), parse_yaml(self.config.read_text(encoding="utf-8"))
        for section, _, name in (key.partition(".") for key in MAY_MOVE):
            before.setdefault(section, {})[name] = now[section][name]
        before["run"] = now["run"]
        write_text(self.config, yaml.safe_dump(before, sort_keys=False, allow_unicode=True))
        unused = [words for key, words in self._changed.items() if key not in MAY_MOVE and not key.startswith("run.")]
        if unused:
            logger.warning(
                f"{self.path} is finished, so these settings are not used: {'; '.join(unused)}. "
                "Begin another run with them (`run.name=...`), or raise the limit that was reached."
            )
        self._replaced, self._changed = None, {}

    def restore(self) -> None:
        """Put the settings of an earlier start back, where this one was refused before it went on."""
        if self._replaced is not None:
            with suppress(CheckpointError):  # a full disk
                write_text(self.config, self._replaced)

    def check_text(self, facts: dict[str, Any]) -> None:
        """Raises: DataError: when the run was started with another text or vocabulary than `facts` has;
        CheckpointError: when the manifest is damaged."""
        if not self.manifest.exists():
            logger.warning(f"`{self.manifest}` is missing: nothing tells whether this is the text of the run.")
            return
        before, now = flatten(read_json(self.manifest)), flatten(facts)
        for key in YOUNGER.values():
            before.setdefault(key, facts["data"][key.removeprefix("data.")])
        for what, section, key in (
            ("training text", "data", "fingerprint"),
            ("dev set", "data", "dev_fingerprint"),
            ("test set", "data", "test_fingerprint"),
            ("training vocabulary", "tokenizer", "sha256"),
        ):
            if (known := before.get(f"{section}.{key}")) is None:
                raise CheckpointError(f"`{self.manifest}` must have `{section}.{key}`, but does not: it is damaged.")
            written = f"{section}.as_written.{key}"  # of tables that name files: their folder may have moved
            moved = before.get(written) and before[written] == now.get(written)  # an older cache knows none
            if known != facts[section][key] and not moved:
                raise DataError(f"the {what} is not the one that `{self.path}` was started with.", hint=OWN_NAME)
        if before.get("data.links") != facts["data"].get("links"):
            raise DataError(
                f"the word links (`alignment.links`) are not those that `{self.path}` was started with.", hint=OWN_NAME
            )

    def batch_tokens(self) -> int | None:
        """The budget that was found for `batch.tokens=auto`; None for a run without checkpoints."""
        return read_json(self.manifest).get("batch_tokens") if self.manifest.exists() and self.has_checkpoints else None

    def has_model(self, step: int) -> bool:
        """Whether `model/` is complete and of this step."""
        return find_problem(self.model) is None and read_manifest(self.model).meta.get("step") == step

    def write_manifest(self, facts: dict[str, Any], command: list[str]) -> None:
        """Write what is needed to repeat the run; every start appends an attempt."""
        before = read_json(self.manifest).get("attempts") if self.manifest.exists() else None
        when, where = time.strftime("%Y-%m-%dT%H:%M:%S%z"), str(Path.cwd())
        attempt = {"command": command, "at": when, START: where, **machine()}
        manifest = {**facts, "attempts": [*(before if isinstance(before, list) else []), attempt]}
        write_text(self.manifest, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")

    def write_samples(self, validation: Validation, state: TrainState) -> None:
        """Write dev sentences at this step: source, reference, translation, empty line."""
        rows = zip(validation.sources, validation.references, validation.hypotheses, strict=True)
        text = "".join(f"{source}\n{reference}\n{hypothesis}\n\n" for source, reference, hypothesis in rows)
        try:
            write_text(self.samples / f"step-{state.step:08d}.txt", text)
        except CheckpointError as error:  # a full disk must not end the run
            logger.warning(f"{error}")

    def report_finished(self, state: TrainState) -> str:
        """The message for a finished run that is started again."""
        lines = [f"{self.path} is finished after {counted(state.step, 'step')}: {state.finished}."]
        report = self.evaluation / "test.json"
        tested = report.exists()
        if tested:
            try:
                scores = read_facts(report)["scores"]
                lines += [f"  {score['name']} {score['value']:.2f}  {score['signature']}" for score in scores]
            except (KeyError, TypeError, ValueError):
                again = f"`mt evaluate {shlex.quote(str(self.path))}` writes it again"
                logger.warning(f"`{report}` must list scores, but does not: it is damaged, and {again}.")
        return "\n".join([*lines, f"Translate with it:\n{self.commands('Some text.', tested=tested)}"])

    def commands(self, sentence: str | None, *, tested: bool) -> str:
        """Shell commands to type next. Args: sentence: to translate, None: the model reads tables; tested: whether the
        run has a test set to evaluate on."""
        path = shlex.quote(str(self.path))
        files = "" if tested else " --test TABLE" if sentence is None else " --test SOURCE TARGET"
        typed = f"mt translate {path}"
        typed = f"{typed} -i TABLE" if sentence is None else f"echo {shlex.quote(sentence)} | {typed}"
        return f"  {typed}\n  mt evaluate {path}{files}"

    @property
    def has_checkpoints(self) -> bool:
        """Whether there are checkpoints, complete or damaged."""
        return any(self.checkpoints.glob("step-*"))


@contextmanager
def folder_of_run(
    folder: RunFolder, settings: dict[str, Any], defaults: dict[str, Any], group: Group
) -> Iterator[None]:
    """Create and lock the folder of a run. A run that fails before it trains leaves no new folder behind.

    Raises: ConfigError: as `RunFolder.begin`; CheckpointError: when the folder is locked or cannot be written.
    """
    if not group.is_main:
        setup(silent=True)
        yield
        return
    for part in (folder.path, folder.checkpoints, folder.evaluation):  # not known only when there is something to lose
        check_parents(part)
    with explained(f"`{folder.path}` cannot be used"):
        made = [path for path in (folder.path, *folder.path.parents) if not path.exists()]  # empty: the folder existed
    with RunLock(folder.path):
        try:
            setup(file=folder.log)
            folder.begin(settings, defaults)
            clean_up(folder.checkpoints)
            clean_up(folder.path)
            with recorded(folder.path / FAILURE), stops_at_once(group):
                yield
        except MtError:  # the report of an internal error needs the log and the settings
            folder.restore()
            if made and not (folder.manifest.exists() or folder.has_checkpoints):
                setup()
                remove_new(folder, made)
            raise


@contextmanager
def recorded(file: Path) -> Iterator[None]:
    """Write an error of the block to a file, which `mt runs` reads: the process may be that of a launcher. The file of
    an earlier start is removed."""
    with suppress(OSError):
        file.unlink(missing_ok=True)
    try:
        yield
    except StoppedError:
        raise
    except Exception as error:
        found = {"error": str(in_words(error)), "at": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        with suppress(CheckpointError):  # a full disk
            write_text(file, json.dumps(found) + "\n")
        raise


def check_parents(path: Path) -> None:
    """Raises: CheckpointError: when a file, or a link to nothing, is where a folder must be."""
    with explained(f"`{path}` cannot be used"):
        found = obstacle(path)
    if found is not None:
        raise CheckpointError(
            f"`{path}` cannot be a folder, because {found}.", hint="move it away, or set `run.root` or `run.name`."
        )


def remove_new(folder: RunFolder, made: list[Path]) -> None:
    """Remove the files of a run that never trained, and the folders `made` for it, innermost first, if empty."""
    with suppress(OSError):
        for file in (folder.log, folder.config, folder.path / FAILURE, folder.path / ".lock"):
            file.unlink(missing_ok=True)
        for path in made:
            path.rmdir()


def plain(values: Any) -> Any:
    """`values` with enum members replaced by their values, in nested dicts and lists."""
    return json.loads(json.dumps(values))


def check_drift(
    old: dict[str, Any], new: dict[str, Any], defaults: dict[str, Any], where: Path, *, stay: Collection[str] = ()
) -> dict[str, str]:
    """The settings that changed, each with its values in words.

    Raises: ConfigError: for those that must not change, of which `NAMED` are named.

    Args: stay: settings of `MAY_MOVE` that must not change, because nothing is known of their text.
    """
    before, now, default = flatten(old), flatten(plain(new)), flatten(plain(defaults))
    must = {key for key in now if key.split(".")[0] in MUST_MATCH or key in MUST_MATCH_KEYS} - (MAY_MOVE - {*stay})
    # one that is missing was written by a version without this setting, which behaved as its default
    before |= {key: default[key] for key in must if key not in before}
    wrong = [key for key, value in now.items() if key in must and before[key] != value]
    if len(wrong) == 1:
        [key] = wrong
        said = f"`{key}` was {spelt(before[key])} when `{where}` was started, but is {spelt(now[key])} now."
    else:
        named = [f"`{key}` was {spelt(before[key])}, is {spelt(now[key])}" for key in wrong[:NAMED]]
        named += [f"and {len(wrong) - NAMED:,} more"] if len(wrong) > NAMED else []
        said = f"{len(wrong):,} settings of `{where}` must stay as they were at its start: {'; '.join(named)}."
    if wrong:
        typed = shlex.quote(str(where))
        raise ConfigError(
            said, hint=f"begin another run with `run.name=...`, or go on with this one by `mt train --resume {typed}`."
        )
    return {
        key: f"`{key}` was {spelt(before[key])}, is {spelt(value)}"
        for key, value in now.items() if key in before and before[key] != value
    }  # fmt: skip
