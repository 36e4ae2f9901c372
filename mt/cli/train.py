"""`mt train`: parse the command line, print help, or start `hydra_job.py`, which imports Hydra."""

import argparse
import re
from pathlib import Path

from mt.cli.options import Parser
from mt.cli.train_help import usage


def run(argv: list[str]) -> int:
    """Train as the command line says and return 0. Raises: MtError."""
    args = parse(argv)
    if args.help:
        print(usage())
        return 0
    if args.resume:
        from mt.cli.resume import resume

        resume(args.resume, args.overrides, command=["mt", "train", *argv])
        return 0
    from mt.cli.hydra_job import launch  # help needs no Hydra

    launch(args, command=["mt", "train", *argv])
    return 0


def parse(argv: list[str]) -> argparse.Namespace:
    """Options and overrides, in any order. Raises `ConfigError` for an unknown or incomplete option.

    The options are Hydra's, except `--experimental-rerun`, which executes what a file says, and `--config-path` and
    `--config-name`, which would replace our presets and their schema. `--config`, `--dry-run` and `--resume` are ours.
    """
    otherwise = "settings are written without dashes, as in `train.seed=3`."
    parser = Parser(prog="mt train", add_help=False, otherwise=otherwise)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--config-dir", "-cd", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--resume", type=Path, metavar="RUN")
    parser.add_argument("--resolve", action="store_true")
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--run", "-r", action="store_true")
    one.add_argument("--multirun", "-m", action="store_true")
    one.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    one.add_argument("--shell-completion", "-sc", action="store_true")
    one.add_argument("--hydra-help", action="store_true")
    pages = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
    one.add_argument("--info", "-i", nargs="?", const="all", choices=pages)
    parser.refuse_empty(argv)
    args = parser.parse_intermixed_args(argv)
    others = {name: value for name, value in vars(args).items() if name not in {"overrides", "resume"}}
    if args.resume and any(others.values()):
        option = next(name for name, value in others.items() if value).replace("_", "-")
        parser.error(f"--{option} cannot be used with --resume, which takes only settings such as train.minutes=30")
    if args.resolve and not args.cfg:
        parser.error("--resolve needs --cfg")
    if args.config_dir is not None and not args.config_dir.is_dir():
        parser.error(f"--config-dir must name a folder of presets, but {args.config_dir} is not a folder")
    completion = "".join(args.overrides)
    if args.shell_completion and not re.fullmatch("(install|uninstall|query)=(bash|zsh|fish)", completion):
        parser.error("-sc takes install, uninstall or query, and bash, zsh or fish, as in -sc install=bash")
    return args
