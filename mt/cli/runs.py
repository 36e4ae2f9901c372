"""`mt runs`: list the runs of a folder, compare some of them, delete some."""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mt.cli.options import Parser, check_output
from mt.errors import CheckpointError, ConfigError, counted, readable
from mt.files import explained, meant, write_output

if TYPE_CHECKING:
    from mt.train.overview import Overview

EPILOG = """\
examples:
  mt runs                                                list the runs in runs/
  mt runs list elsewhere                                 those in another folder
  mt runs compare runs/a runs/b -o page.html             scores, settings that differ, and curves
  mt runs delete runs/a

dev is the best score on the dev set at a validation; test is the score of the chosen model on the test set.
Of runs that differ in nothing but `train.seed` compare shows the mean and the standard deviation, too."""


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="mt runs", description="List, compare or delete runs.", epilog=EPILOG)
    parser.add_argument(
        "what", nargs="?", choices=["list", "compare", "delete"], default="list", help="(default: list)"
    )
    parser.add_argument(
        "runs", nargs="*", type=Path, metavar="RUN", help="run folders; list: the folder that holds them"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="PAGE", help="compare: write a page with curves (.html)")
    parser.add_argument("--json", action="store_true", help="list, compare: print JSON instead of a table")
    parser.add_argument("--yes", action="store_true", help="delete: do not ask")
    args = parser.parse_args(argv)
    if args.what == "list" and len(args.runs) > 1:
        parser.error("list takes one folder that holds runs")
    if args.what == "compare" and len(args.runs) < 2:
        parser.error("compare takes at least two runs")
    if args.what == "delete" and not args.runs:
        parser.error("delete takes the folders of runs")
    if args.output and args.what != "compare":
        parser.error("--output goes with compare")
    if args.yes and args.what != "delete":
        parser.error("--yes goes with delete")
    if args.json and args.what == "delete":
        parser.error("--json goes with list and compare")
    return args


def run(argv: list[str]) -> int:
    args = parse(argv)
    check_output(args.output)
    if args.what == "list":
        return list_runs(args.runs[0] if args.runs else Path("runs"), as_json=args.json)
    if args.what == "compare":
        args.runs = [path for path in args.runs if not holds_sweeps(path)]  # of `runs/*`
    for path in args.runs:
        check_run(path)
    if args.what == "delete":
        return delete(args.runs, args.yes)
    if len(args.runs) < 2:
        raise ConfigError("compare takes at least two runs.", hint="`mt runs` lists the runs.")
    return compare(args.runs, args.output, as_json=args.json)


def holds_sweeps(path: Path) -> bool:
    """Whether a folder has what Hydra keeps of sweeps, which stands beside their runs."""
    return not (path / "config.yaml").exists() and any(path.glob("*/multirun.yaml"))


def check_run(path: Path) -> None:
    """Raises: CheckpointError: for a path that is not the folder of a run."""
    from mt.train.overview import find_runs, is_run

    if not is_run(path):
        problem = "has no config.yaml" if path.exists() else "does not exist"
        near = meant(path, (beside.name for beside in find_runs(path.parent)))
        hint = f"did you mean `{near}`?" if near is not None else "`mt runs` lists the runs."
        raise CheckpointError(f"`{path}` is not the folder of a run: it {problem}.", hint=hint)


def list_runs(root: Path, *, as_json: bool) -> int:
    from mt.train.overview import find_runs, is_run, overview, table

    if not root.is_dir():
        raise CheckpointError(
            f"there is no folder `{root}`.", hint="name one that holds runs, or train one with `mt train`."
        )
    found = [overview(path) for path in ([root] if is_run(root) else find_runs(root))]
    name_problems(found, "mt runs")
    if as_json:
        print(json.dumps([one.to_dict() for one in found], ensure_ascii=False, indent=2))
    elif found:
        print(table(found))
    else:
        print(f"{root} holds no runs.", file=sys.stderr)
    return 0


def name_problems(runs: "Sequence[Overview]", verb: str) -> None:
    """Say on stderr which runs are damaged; what they lack is a dash in the table."""
    for run in runs:
        if run.problem is not None:
            print(readable(f"{verb}: {run.folder} is damaged: {run.problem}"), file=sys.stderr)


def compare(paths: list[Path], output: Path | None, *, as_json: bool) -> int:
    from mt.log import setup
    from mt.train.overview import aligned, comparison, differing, lowest_bits, overview, shortened
    from mt.train.seeds import over_seeds, told

    setup()
    runs = [overview(path) for path in paths]
    name_problems(runs, "mt runs")
    rows, seeds = comparison(runs), over_seeds(runs)
    if output:
        from mt.train.curves import page

        write_output(output, page(runs).encode("utf-8", "replace"))
        print(f"The curves are in {output}.", file=sys.stderr)
    if as_json:
        differ = {key: [run.config.get(key) for run in runs] for key in differing(runs)}
        each = [{**one.to_dict(), "bits_per_char": lowest_bits(one.folder)} for one in runs]
        found = {"runs": each, "settings": differ, "seeds": [group.to_dict() for group in seeds]}
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        header, *rest = rows
        print(aligned([header, *([shortened(cell) for cell in row] for row in rest)]))
        if seeds:
            print(f"\n{told(seeds)}")
    return 0


def delete(paths: list[Path], yes: bool) -> int:
    """Delete after a question. Raises: CheckpointError: for a run that is training."""
    from mt.train.overview import overview, table

    runs = [overview(path) for path in {path.absolute(): path for path in paths}.values()]
    for one in runs:
        if one.folder.is_symlink():
            raise CheckpointError(f"`{one.folder}` is a link to another folder.", hint="delete that one.")
        if one.state == "running":
            raise CheckpointError(f"`{one.folder}` is training.", hint="stop it first.")
    if not yes and not agreed(f"{table(runs)}\nDelete {counted(len(runs), 'run')} for good? [y/N] "):
        print("Nothing was deleted.", file=sys.stderr)
        return 1
    for one in runs:
        with explained(f"{one.folder} cannot be deleted"):
            shutil.rmtree(one.folder)
        print(f"{one.folder} is deleted.", file=sys.stderr)
    return 0


def agreed(question: str) -> bool:
    """Ask on the terminal. Raises: ConfigError: when nobody can answer."""
    if sys.stdin is None or not sys.stdin.isatty():  # pyright: ignore[reportUnnecessaryComparison]
        raise ConfigError("there is no terminal to ask on.", hint="add `--yes` to delete without a question.")
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
