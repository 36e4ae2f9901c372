"""`mt average`: one model from several checkpoints, the mean of their weights."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mt.cli.options import Parser, positive_int
from mt.errors import CheckpointError, ConfigError, counted

if TYPE_CHECKING:
    from mt.checkpoint.model_folder import StoredModel


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mt average",
        description="Average the weights of checkpoints into one model folder, which `mt translate` and `mt.load` take "
        "like any other. They must be of one architecture and one tokenizer, best of one run: weights that did not "
        "grow from the same start do not average to anything of use.",
        epilog="examples:\n  mt average runs/my-run --best 3 -o averaged\n"
        "  mt average runs/my-run/checkpoints/step-00007000 runs/my-run/checkpoints/step-00008000 -o averaged",
    )
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="runs, checkpoints or model folders")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="the new model folder")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--last", type=positive_int, metavar="N", help="of each run the last N checkpoints it has kept")
    which.add_argument("--best", type=positive_int, metavar="N", help="of each run the best N by its score on dev")
    args = parser.parse_args(argv)
    for path in args.models:
        if path.exists() and (path / "checkpoints").is_dir() != bool(args.last or args.best):
            parser.error(
                f"{path} is one model, of which there is no --last or --best"
                if args.last or args.best
                else f"{path} is a run: say which of its checkpoints, with --best N or --last N"
            )
    return args


def run(argv: list[str]) -> int:
    args = parse(argv)
    if args.output.exists():
        raise ConfigError(f"--output {args.output} is there already; name a new folder.")
    from mt.checkpoint.model_folder import find_run
    from mt.log import setup

    setup()
    for model in args.models:
        find_run(model)  # which says so where there is nothing of that name
    paths = [path for model in args.models for path in chosen(model, args)]
    if len(paths) < 2:
        raise ConfigError(f"there is only one model to average, {paths[0]}; name more.")
    known: set[Path] = set()
    for path in paths:
        if path.resolve() in known:
            raise ConfigError(f"{path} is named twice; name each model once, or it counts twice in the mean.")
        known.add(path.resolve())
    make_average(paths, args.output)
    print(f"The mean of {len(paths)} models is in {args.output}:")
    for path in paths:
        print(f"  {path}")
    return 0


def chosen(model: Path, args: argparse.Namespace) -> list[Path]:
    """The folders that a run, or a model by itself, gives to the mean.

    Raises: CheckpointError: for a run that has fewer checkpoints than are asked for.
    """
    number = args.last or args.best
    if not number:
        return [model]
    from mt.checkpoint import Checkpoints

    checkpoints = Checkpoints(model / "checkpoints", keep=1)
    found = checkpoints.scored() if args.last else checkpoints.ranked()
    if len(found) < number:
        there = counted(len(found), "validated checkpoint")
        option = "--last" if args.last else "--best"
        raise CheckpointError(
            f"{model} has {there}, but {option} {number} needs {number}: ask for fewer, or keep more in training with "
            "`train.keep`."
        )
    return found[:number]


def make_average(paths: Sequence[Path], output: Path) -> None:
    """Write the model folder. Raises: CheckpointError: for a damaged model, ConfigError: for models that differ."""
    from mt.checkpoint import average, write_folder
    from mt.checkpoint.model_folder import CARD, WEIGHTS, read_model

    models = [read_model(path) for path in paths]
    for other in models[1:]:
        check_alike(models[0], other)
    first = models[0]
    weights = average([model.path for model in models])
    longest = min(model.description.max_length for model in models)
    description = replace(first.description, max_length=longest)
    parameters = sum(tensor.numel() for tensor in weights.values())
    card = model_card(models, parameters).encode()
    write_folder(output, {**description.files(first.tokenizer), WEIGHTS: weights, CARD: card}, free={CARD})


def check_alike(first: "StoredModel", other: "StoredModel") -> None:
    """Raises: ConfigError: naming what it is that differs."""
    one, two = asdict(first.description.model), asdict(other.description.model)
    for key in one:
        # dropout and the like leave no trace in the weights
        if "dropout" not in key and one[key] != two[key]:
            raise ConfigError(
                f"{first.path} and {other.path} cannot be averaged: `model.{key}` is {one[key]} in the first, but "
                f"{two[key]} in the second."
            )
    if first.tokenizer.fingerprint != other.tokenizer.fingerprint:
        raise ConfigError(
            f"{first.path} and {other.path} cannot be averaged: their tokenizers differ, so the same row of a matrix "
            "stands for other pieces."
        )
    directions = [(model.description.src, model.description.tgt) for model in (first, other)]
    if directions[0] != directions[1]:
        told = [" to ".join(direction) for direction in directions]
        raise ConfigError(f"{first.path} and {other.path} cannot be averaged: one translates {told[0]}, one {told[1]}.")


def model_card(models: "Sequence[StoredModel]", parameters: int) -> str:
    """What a stranger should know: that this is a mean, and of what."""
    src, tgt = models[0].description.src, models[0].description.tgt
    listed = "\n".join(f"- {'/'.join(model.path.parts[-3:])}" for model in models)  # and not where a home folder is
    return f"""---
language: ["{src}", "{tgt}"]
pipeline_tag: translation
library_name: mt
---

# {src} to {tgt}: the mean of {len(models)} models

An encoder-decoder Transformer of {parameters:,} parameters. Each weight is the mean of that weight in

{listed}

made by `mt average`. Their cards and run folders say what they were trained on; the mean itself has not been scored.

## Use

```
mt translate THIS_FOLDER < input.{src} > output.{tgt}
```
"""
