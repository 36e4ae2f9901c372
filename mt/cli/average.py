"""`mt average`: one model from several checkpoints, the mean of their weights."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mt.cli.options import Parser, check_new, positive_int
from mt.errors import CheckpointError, ConfigError, counted

if TYPE_CHECKING:
    from mt.checkpoint.model_folder import StoredModel


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mt average",
        description="Average the weights of checkpoints into a new model folder, for `mt translate` and `mt.load`. The "
        "checkpoints must have the same architecture and tokenizer, and should come from one run: the mean of models "
        "that were trained separately is useless.",
        epilog="examples:\n  mt average runs/my-run --best 3 -o averaged\n"
        "  mt average runs/my-run/checkpoints/step-00007000 runs/my-run/checkpoints/step-00008000 -o averaged",
    )
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="runs, checkpoints or model folders")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="the new model folder")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--last", type=positive_int, metavar="N", help="take the last N checkpoints of each run")
    which.add_argument("--best", type=positive_int, metavar="N", help="take the N best checkpoints of each run, by dev")
    args = parser.parse_args(argv)
    some = args.last or args.best
    for path in args.models:
        is_run = (path / "checkpoints").is_dir()
        if some and path.exists() and not is_run:
            what = "has no checkpoints" if (path / "config.yaml").is_file() else "is a single model"
            parser.error(f"--last and --best need a run, but {path} {what}")
        if is_run and not some:
            parser.error(f"{path} is a run: choose some of its checkpoints with --best N or --last N")
    return args


def run(argv: list[str]) -> int:
    args = parse(argv)
    check_new(args.output)
    from mt.checkpoint.model_folder import find_model
    from mt.log import setup

    setup()
    for model in args.models:
        find_model(model)  # raises if there is nothing of that name
    paths = [find_model(path) for model in args.models for path in chosen(model, args)]  # `best` may be `latest`
    if len(paths) < 2:
        raise ConfigError(f"an average needs at least two models, but only {paths[0]} is given.", hint="name more.")
    resolved = [path.resolve() for path in paths]
    for number, path in enumerate(paths):
        if resolved[number] in resolved[:number]:
            more = "; `best` and `latest` are other names of a checkpoint, and `--best N` of its run takes the best"
            other_name = any(model.name in {"best", "latest"} for model in args.models)
            raise ConfigError(f"`{path}` is named twice.", hint=f"name each model once{more if other_name else ''}.")
    make_average(paths, args.output)
    print(f"The mean of {len(paths)} models is in {args.output}:")
    for path in paths:
        print(f"  {path}")
    return 0


def chosen(model: Path, args: argparse.Namespace) -> list[Path]:
    """The checkpoints of a run that --last or --best selects, or the model itself.

    Raises: CheckpointError: for a run with too few checkpoints.
    """
    number = args.last or args.best
    if not number:
        return [model]
    from mt.checkpoint import Checkpoints

    checkpoints = Checkpoints(model / "checkpoints", keep=1)
    found = checkpoints.scored() if args.last else checkpoints.ranked()
    if len(found) < number:
        option = "--last" if args.last else "--best"
        raise CheckpointError(
            f"`{model}` has only {counted(len(found), 'validated checkpoint')}, but `{option}` needs {number}.",
            hint="give a smaller number, or keep more checkpoints in training with `train.keep`.",
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
    description = replace(first.description, max_length=min(model.description.max_length for model in models))
    card = model_card(models, parameters=sum(tensor.numel() for tensor in weights.values())).encode()
    write_folder(output, {**description.files(first.tokenizer), WEIGHTS: weights, CARD: card}, free={CARD})


def check_alike(first: "StoredModel", other: "StoredModel") -> None:
    """Raises: ConfigError: when the models differ in architecture, tokenizer or languages."""
    one, two = asdict(first.description.model), asdict(other.description.model)
    # dropout rates do not change what the weights mean
    differ = [key for key in one if "dropout" not in key and one[key] != two[key]]
    a, b = (f"{model.description.src} to {model.description.tgt}" for model in (first, other))
    if differ:
        why = f"`model.{differ[0]}` is {one[differ[0]]} in the first, but {two[differ[0]]} in the second"
    elif first.tokenizer.fingerprint != other.tokenizer.fingerprint:
        why = "their tokenizers differ, so a row of the embedding matrix stands for different pieces"
    elif a != b:
        why = f"one translates {a}, the other {b}"
    else:
        return
    raise ConfigError(f"{first.path} and {other.path} cannot be averaged: {why}.")


def model_card(models: "Sequence[StoredModel]", parameters: int) -> str:
    """The README.md of the folder: that the model is a mean, and of which models."""
    src, tgt = models[0].description.src, models[0].description.tgt
    listed = "\n".join(f"- {'/'.join(model.path.parts[-3:])}" for model in models)  # no absolute paths
    return f"""---
language: ["{src}", "{tgt}"]
pipeline_tag: translation
library_name: mt
---

# {src} to {tgt}: the mean of {len(models)} models

An encoder-decoder Transformer with {parameters:,} parameters, made by `mt average`. Each weight is the mean of that
weight in these models:

{listed}

Their model cards and run folders say what they were trained on. The mean itself has not been scored.

## Use

```
mt translate THIS_FOLDER < input.{src} > output.{tgt}
```
"""
