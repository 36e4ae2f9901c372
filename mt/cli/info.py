"""`mt info`: what a model is, what it was trained on, and how well it does."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mt.cli.options import Parser

if TYPE_CHECKING:
    from mt.checkpoint.model_folder import StoredModel
    from mt.train.overview import Overview

MOST_SHOWN = 20  # tags; `--json` has all


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mt info",
        description="Show what a model is: languages, size, vocabulary, training and scores. Its files are verified.",
        epilog="example:  mt info runs/my-run",
    )
    parser.add_argument("model", nargs="?", type=Path, help="model folder, run or checkpoint (default: the newest run)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser.parse_args(argv)


def run(argv: list[str]) -> int:
    args = parse(argv)
    from mt.checkpoint.model_folder import find_run, is_choice, read_model
    from mt.cli.runs import name_problems
    from mt.log import setup
    from mt.train.overview import overview

    setup()
    model = read_model(args.model)
    folder = find_run(model.path)
    problems: list[str] = []
    facts = facts_of(model, folder, problems)
    ran = None
    if folder is not None:
        ran = overview(folder)
        ran = replace(ran, problem=problems[0] if problems else ran.problem)
        name_problems([ran], "mt info")
        if not is_choice(model.path, folder):
            ran = replace(ran, dev=None, test={}, basis={})  # the scores are those of the model that the run chose
    if args.json:
        print(json.dumps({**facts, "run": ran and ran.to_dict()}, ensure_ascii=False, indent=2))
        return 0
    lines = described(facts, ran)
    if folder is not None and not is_choice(model.path, folder):
        del lines["scores"]  # of the model that the run chose
    width = max(map(len, lines))
    print(model.path)
    print("\n".join(f"  {name:{width}}  {text}" for name, text in lines.items()))
    return 0


def facts_of(model: "StoredModel", run: Path | None, problems: list[str]) -> dict[str, Any]:
    """Plain values: of the model folder, and of the manifest of its run. Args: problems: gets what is wrong there."""
    from dataclasses import asdict

    from mt.checkpoint.folder import read_manifest
    from mt.train.ancestry import ancestry_of, plain_ancestry
    from mt.train.overview import manifest_of

    told, stored = model.description, read_manifest(model.path)
    manifest = manifest_of(run, problems) if run is not None else {}
    first, *others = ancestry_of(model)
    known = first.data and first.pairs is not None
    data = {"name": first.data, "train": first.pairs, "licence": first.licence} if known else None
    return {
        "model": str(model.path),
        "src": told.src,
        "tgt": told.tgt,
        "parameters": sum(parameter.numel() for parameter in model.empty.parameters()),
        "bytes": sum(size for size, _ in stored.files.values()),
        "step": stored.meta.get("step"),
        "precision": told.precision.value,
        "vocabulary": [told.src_size, told.tgt_size],
        "tags": sorted(model.tokenizer.tags),
        "max_length": told.max_length,
        "usual_length": told.usual_length,
        "shape": asdict(told.model),
        "inputs": [f"{one.column}:{one.kind}" for one in told.inputs],
        "decode": asdict(told.decode),
        "tokenizer": manifest.get("tokenizer"),
        "data": manifest.get("data") or data,
        "ancestry": plain_ancestry(others),
        "seed": manifest.get("seed"),
    }


def described(facts: dict[str, Any], ran: "Overview | None") -> dict[str, str]:
    """The facts as lines of text, by what they are about."""
    from mt.progress import duration
    from mt.train.ancestry import ancestors
    from mt.train.overview import megabytes

    shape, data, tokenizer = facts["shape"], facts["data"], facts["tokenizer"]
    source, target = facts["vocabulary"]
    kind = f" ({tokenizer['kind']})" if tokenizer else ""
    usual = f", usually at most {facts['usual_length']}" if facts["usual_length"] else ""
    lines = {
        "direction": f"{facts['src']} to {facts['tgt']}",
        "parameters": f"{facts['parameters']:,}; {megabytes(facts['bytes'])} on disk",
        "shape": f"{shape['encoder_layers']} + {shape['decoder_layers']} layers, width {shape['dim']}, "
        f"{shape['heads']} heads, feed-forward {shape['ffn_dim']}, {shape['positions']} positions",
        "vocabulary": f"{target:,} pieces{kind}" if source == target else f"{source:,} and {target:,} pieces{kind}",
        "trained on": "not known: the model is not in a run folder",
        "lines": f"at most {facts['max_length']:,} pieces{usual}",
        "search": f"beam {facts['decode']['beam']}, length penalty {facts['decode']['length_penalty']:g}",
    }
    if facts["tags"]:
        more = f" and {len(facts['tags']) - MOST_SHOWN} more" if len(facts["tags"]) > MOST_SHOWN else ""
        lines["tags"] = f"{', '.join(facts['tags'][:MOST_SHOWN])}{more}, of which a source line may begin with one"
    if facts["inputs"]:
        joined = f" ({shape['fusion']})" if len(facts["inputs"]) > 1 else ""
        lines["inputs"] = f"{', '.join(facts['inputs'])}{joined}, columns of a table"
    if data:
        lines["trained on"] = f"{data['name']}, {data['train']:,} pairs, licence: {data['licence']}"
    if facts["ancestry"]:
        lines["goes on from"] = ", and that from ".join(map(str, ancestors(facts["ancestry"])))
    if ran is not None:
        lines["training"] = f"{ran.state}: {ran.steps:,} updates in {duration(ran.seconds)}, {facts['precision']}"
        dev = f"dev {ran.watch} {ran.dev:.2f}" if ran.dev is not None else ""
        scores = [f"test {name} {value:.2f}" for name, value in ran.test.items()]
        lines["scores"] = ", ".join(filter(None, [dev, *scores])) or "none"
    return lines
