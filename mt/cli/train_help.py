"""What `mt train --help` prints: the presets as they lie in the folder, the settings most used, examples."""

import re

from mt.cli.folders import CONFIG_DIR, groups

ABOUT = {
    "data": "which text",
    "model": "the shape of the network",
    "tokenizer": "how text becomes pieces",
    "optim": "the optimiser",
    "schedule": "how the learning rate moves",
    "experiment": "a recipe that set all of the above",
    "debug": "quick looks",
}
SETTINGS = {
    "data.train": "your own files: two of parallel lines, or one .tsv, .jsonl or .parquet",
    "data.dev": "files to validate on, likewise; without them a part of the training text is set aside",
    "data.src": "language (or column) to translate from; data.tgt: to translate into",
    "data.limit": "use only so many training pairs",
    "tokenizer.vocab_size": "pieces in the vocabulary",
    "model.dropout": "more for little text (0.3), less for much (0.1)",
    "batch.tokens": "target tokens per batch: what fits the memory",
    "batch.accumulate": "batches per update, for large updates on a small device",
    "alignment.links": "files of word links (i-j), one for each corpus of data.train: a head is taught them",
    "optim.lr": "the peak of the learning rate",
    "schedule.warmup_steps": "steps until the peak",
    "train.minutes": "how long at most (default 8; null: no limit); or train.epochs, train.steps: what comes first",
    "train.patience": "stop after so many validations without a new best",
    "train.validate_every": "steps between validations, each with a checkpoint",
    "train.device": "auto, cpu, cuda, cuda:1 or mps",
    "train.seed": "the same seed, the same run",
    "run.name": "the folder below runs/; the same command run again goes on where it stopped",
}
EXAMPLES = {
    "mt train": "a first model from a corpus that is fetched",
    "mt train model=base train.minutes=60": "a preset and a setting",
    "mt train 'data.train=[my.en,my.de]' run.name=mine": "your own text",
    "mt train experiment=multi30k_en_de": "a published result again",
    "mt train --config my.yaml optim.lr=1e-3": "your file, then an override",
    "mt train --dry-run debug=fast": "what would happen",
    "mt train -m optim.lr=1e-3,2e-3 model=tiny,small": "one run for each combination",
}


def usage() -> str:
    """The whole text."""
    return f"""\
mt train trains a translation model and leaves it in runs/NAME/model.

usage: mt train [GROUP=PRESET ...] [SECTION.SETTING=VALUE ...] [options]

presets (* unless you choose another):
{columns(presets())}

settings most used:
{columns(SETTINGS)}

options:
{columns(options())}

examples:
{columns(EXAMPLES)}"""


def options() -> dict[str, str]:
    return {
        "--config FILE": "a YAML file of settings, laid over the presets and under the command line",
        "--config-dir FOLDER": "more presets, in groups as above",
        "--dry-run": "show what would happen, train nothing",
        "-m, --multirun": "one run for each combination of values given as a,b",
        "--cfg job": "print every setting and its value",
        "--info defaults": "print which presets are used, in order",
        "-sc install=bash": 'completion in the shell: eval "$(mt train -sc install=bash)"',
        "--hydra-help": "what Hydra has besides",
    }


def presets() -> dict[str, str]:
    """The groups of the folder, each with its options, the default marked, and what it is about."""
    chosen = dict(re.findall(r"^  - (\w+): (\w+)", (CONFIG_DIR / "train.yaml").read_text(encoding="utf-8"), re.M))
    found = groups()
    return {
        group: " ".join(f"{name}*" if chosen.get(group) == name else name for name in found[group]) + f"  ({about})"
        for group, about in ABOUT.items()
    }


def columns(rows: dict[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join(f"  {left:{width}}  {right}" for left, right in rows.items())
