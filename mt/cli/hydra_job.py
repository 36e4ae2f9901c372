"""Runs `mt train` through Hydra: one job or a sweep, launchers, `--cfg`, `--info` and completion, with our errors."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice, product
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mt.cli.compose import before_naming, check_overrides, listed, parse, prepare, refuse_files, to_config, with_files
from mt.cli.folders import CONFIG_DIR, groups
from mt.cli.main import say
from mt.cli.origin_layer import GROUP
from mt.cli.refusals import in_our_words
from mt.cli.run_name import run_name, tell_name
from mt.cli.text_files import check_text_files
from mt.cli.typed import as_typed
from mt.config import Config, ScheduleConfig
from mt.errors import ConfigError, StoppedError, counted, readable
from mt.files import in_words

Task = Callable[[DictConfig], float]

OURS = {"overrides", "help", "config", "dry_run", "resume"}  # options that Hydra does not know
ADAMW_WARM_UP = 300  # updates, as `configs/optim/adamw.yaml` has it
MOST_CHECKED = 1000  # combinations of a sweep


class JobError(BaseException):
    """Carries an error past Hydra, which catches every `Exception` of a task to print it and to exit with 1."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def launch(args: argparse.Namespace, command: list[str]) -> None:
    """Check the settings; train, or let Hydra do what the options say.

    `command` is what the user typed, for the run's manifest. Raises `MtError` for mistakes of the user.
    """
    overrides = [*with_files(args.overrides), *(["run.dry_run=true"] if args.dry_run else [])]
    chosen, jobs = prepare(args.config, config_dir=args.config_dir), Jobs(command)
    if not (args.shell_completion or args.hydra_help):
        multirun = args.multirun or "hydra.mode=MULTIRUN" in overrides
        refuse_files(overrides, groups(args.config_dir))
        overrides = [as_typed(text, multirun=multirun) for text in overrides]
        tell_repeated(overrides)
        overrides = last_of_each(overrides) if multirun else overrides
        for each in distinct(combinations(overrides)) if multirun else [overrides]:
            config, choices = before_naming(each, chosen, config_dir=args.config_dir)
            tell_warm_up(config, choices, each)
            given, config.run.name = config.run.name, run_name(config, choices)
            if is_one_job(args, overrides):
                tell_name(given, config)
                train(config, command)
                return
            if multirun and not config.run.dry_run:
                jobs.roots.add(Path(config.run.root))
        overrides = check_overrides(overrides, config_dir=args.config_dir, multirun=multirun, file=bool(chosen))
        overrides += chosen
    try:
        call_hydra([*overrides, *flags(args)], make_task(command, fixed_keys(overrides), jobs))
    except Exception as error:
        told = jobs.report()
        if not told or isinstance(error, StoppedError):
            raise
        what = f"{told:,} of {counted(len(jobs.folders), 'job')}" if jobs.folders else counted(told, "job")
        raise type(in_words(error))(f"{what} of the sweep failed.") from error
    except BaseException:
        jobs.report()
        raise
    jobs.report()


def is_one_job(args: argparse.Namespace, overrides: list[str]) -> bool:
    """Whether nothing is asked of Hydra but the settings, which are composed already: Hydra would compose them twice
    more, which takes longer than all checks. Presets of the user's own may set what Hydra does."""
    asked = args.config_dir or args.multirun or args.cfg or args.info
    return not asked and not any(parse(text).is_hydra_override() for text in overrides)


@dataclass
class Jobs:
    """The runs of a sweep: their folders in the order of the jobs, as far as these run in this process."""

    command: list[str]
    folders: list[Path] = field(default_factory=list)
    failed: dict[Path, Exception] = field(default_factory=dict)
    roots: set[Path] = field(default_factory=set)  # where the runs are; none if there is no sweep

    def report(self) -> int:
        """Print a table of the runs, and why some failed. Those that a launcher started in other processes are found by
        their command. Returns: how many failed."""
        from mt.train.overview import find_runs, overview, table
        from mt.train.seeds import over_seeds, told

        found = (path for root in sorted(self.roots) for path in reversed(find_runs(root)))
        elsewhere = 0
        folders = self.folders or [path for path in found if overview(path).command == self.command]
        if self.roots and folders:
            runs = [overview(folder) for folder in folders]
            print("\n" + table([replace(run, state="failed") if run.folder in self.failed else run for run in runs]))
            if seeds := over_seeds(runs):
                print(f"\n{told(seeds)}")
            for run in runs:  # of other processes
                if run.state == "failed" and run.folder not in self.failed:
                    elsewhere += 1
                    print(readable(f"mt train: {run.folder} failed: {run.error}"), file=sys.stderr)
        for folder, error in self.failed.items():
            known = in_words(error)
            log = f" (see {folder}/train.log)" if (folder / "train.log").exists() else ""
            say(f"mt train: {folder} failed: {known.message}{log}", error, hint=known.hint)
        return len(self.failed) + elsewhere


def fixed_keys(overrides: list[str]) -> frozenset[str]:
    """The keys that are given one value, the same for all jobs of a sweep."""
    parsed = [parse(text) for text in overrides]
    return frozenset(one.key_or_group for one in parsed if not one.is_sweep_override())


def tell_repeated(overrides: list[str]) -> None:
    """Say which value counts where a setting is given several: one may stand in a script, forgotten."""
    given: dict[str, list[str]] = {}
    for text in overrides:
        override = parse(text)
        if not isinstance(override.value(), dict):  # settings of a section, which are not all the same
            given.setdefault(override.key_or_group, []).append(text.partition("=")[2])
    for key, values in given.items():
        if len(set(values)) > 1:
            before = " and ".join(dict.fromkeys(value for value in values if value != values[-1]))
            print(readable(f"mt train: `{key}` is {values[-1]}, the last that is given, not {before}"), file=sys.stderr)


def tell_warm_up(config: Config, choices: Mapping[str, object], overrides: list[str]) -> None:
    """Say where the warm-up is that of the preset of one optimizer, and another is chosen by its name alone."""
    name, preset = config.optim.name.value, choices.get("optim")
    usual = {"muon": ScheduleConfig().warmup_steps, "adamw": ADAMW_WARM_UP}
    typed = any(parse(text).key_or_group in {"schedule", "schedule.warmup_steps"} for text in overrides)
    if name == preset or typed or choices.get(GROUP) or config.schedule.warmup_steps != usual.get(str(preset)):
        return
    print(
        f"mt train: `optim.name` is {name}, but the warm-up of {config.schedule.warmup_steps} updates is that of "
        f"{preset}; `optim={name}` chooses both",
        file=sys.stderr,
    )


def last_of_each(overrides: list[str]) -> list[str]:
    """Of several values for one key the last, which counts, as without a sweep: with one value and a sweep of the same
    key the jobs would have one name, and so one folder."""
    kept: dict[tuple[str, bool], str] = {}
    for text in overrides:
        override = parse(text)
        place = override.key_or_group, isinstance(override.value(), dict)  # a group, or the settings in it
        kept.pop(place, None)  # so that the order is that of the values that count
        kept[place] = text
    return list(kept.values())


def combinations(overrides: list[str]) -> Iterator[list[str]]:
    """The overrides of each of the first jobs of a sweep, without those that only Hydra and its sweeper can expand."""
    parsed = [parse(text) for text in overrides]
    tried = [listed(override) for override in parsed if not override.is_hydra_override()]
    return (list(each) for each in islice(product(*filter(None, tried)), MOST_CHECKED))


def distinct(jobs: Iterator[list[str]]) -> Iterator[list[str]]:
    """Raises: ConfigError: for a job that is equal to an earlier one, with which it would share a folder."""
    seen = set[tuple[str, ...]]()
    for job in jobs:
        if tuple(job) in seen:
            raise ConfigError(f"two jobs of the sweep are equal ({', '.join(job)}).", hint="give each value once.")
        seen.add(tuple(job))
        yield job


def flags(args: argparse.Namespace) -> list[str]:
    """The options that Hydra knows, as it reads them."""
    line = []
    for name, value in vars(args).items():
        if name not in OURS and value not in (None, False):
            line.append(f"--{name.replace('_', '-')}")
            line += [] if value is True else [str(value)]
    return line


def make_task(command: list[str], fixed: frozenset[str], jobs: Jobs) -> Task:
    """The function that Hydra runs once per job, here or in a launcher's process. It returns the best score.

    Args: fixed: as in `run_name`; jobs: gets the folder of each job that runs in this process.
    """

    def task(tree: DictConfig) -> float:
        multirun, folder = HydraConfig.get().mode is RunMode.MULTIRUN, None
        try:
            config = to_config(tree)
            name_run(config, fixed if multirun else None)
            if multirun and not config.run.dry_run:
                folder = Path(config.run.root) / str(config.run.name)
                jobs.folders.append(folder)
            return train(config, command)
        except Exception as error:
            if multirun and not isinstance(error, StoppedError):
                if folder is not None:
                    jobs.failed[folder] = error
                raise  # Hydra continues with the other jobs and raises this error at the end
            raise JobError(error) from None

    return task


def name_run(config: Config, fixed: frozenset[str] | None) -> None:
    """Give the run its name; each job of a sweep gets a folder of its own. Args: fixed: None: there is no sweep."""
    state = HydraConfig.get()
    job = list(state.overrides.task) if fixed is not None else []
    given, config.run.name = config.run.name, run_name(config, state.runtime.choices, job, fixed or ())
    if fixed is None:
        tell_name(given, config)
    else:
        print(f"mt train: job {state.job.num} of the sweep is {config.run.name}", file=sys.stderr)


def train(config: Config, command: list[str]) -> float:
    """Train, or only describe, what the settings say; returns the best score."""
    if config.data.train:
        check_text_files(config.data)
    from mt import build  # imports torch, so only once settings and file names are checked

    if config.run.dry_run:
        build.dry_run(config)
        return 0.0
    return build.train(config, command)


def call_hydra(arguments: list[str], task: Task) -> None:
    """Run `hydra.main` on `arguments`. Raises what the task raised, and `ConfigError` for what Hydra refuses."""
    try:
        with command_line(arguments):
            hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="train")(task)()
    except JobError as carrier:
        raise carrier.error from None
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise in_our_words(error) from error


@contextmanager
def command_line(arguments: list[str]) -> Iterator[None]:
    """Hydra reads `sys.argv`; only with HYDRA_FULL_ERROR=1 does it raise errors rather than print them and exit."""
    argv, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = [argv[0], *arguments], "1"
    try:
        yield
    finally:
        sys.argv = argv
        os.environ.pop("HYDRA_FULL_ERROR")
        if full is not None:
            os.environ["HYDRA_FULL_ERROR"] = full
