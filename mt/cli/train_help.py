"""The text of `mt train --help`: the presets of the folder, the most used settings, options and examples."""

from mt.cli.folders import default_presets, groups

ABOUT = {
    "data": "which text",
    "model": "the shape of the network",
    "tokenizer": "how text becomes pieces",
    "optim": "the optimiser",
    "schedule": "how the learning rate changes",
    "experiment": "a recipe that sets all of the above",
    "debug": "quick tests",
}
SETTINGS = {
    "data.train": "your own files: two of parallel lines, or one .tsv, .jsonl or .parquet",
    "data.dev": "files to validate on; without them some training pairs are held out",
    "data.src": "language (or column) to translate from; data.tgt: to translate into",
    "init": "a run or a model folder to go on from: its shape, its tokenizer and its languages stay",
    "data.limit": "the largest number of training pairs",
    "data.augment": "share of pairs shown in capitals, in small letters or without the final mark",
    "tokenizer.vocab_size": "pieces in the vocabulary",
    "model.dropout": "more for little text (0.3), less for much (0.1)",
    "batch.tokens": "target tokens per batch, as many as fit in memory",
    "batch.accumulate": "batches per update, for large updates on a small device",
    "alignment.links": "files of word links (i-j), one for each corpus of data.train, that guide an attention head",
    "optim.lr": "the peak of the learning rate",
    "schedule.warmup_steps": "steps until the peak",
    "train.minutes": "time limit (default 8; null: none); train.epochs and train.steps limit a run, too",
    "train.patience": "stop after so many validations without a new best score",
    "train.validate_every": "steps between validations; each saves a checkpoint",
    "train.device": "auto, cpu, cuda, cuda:1 or mps",
    "train.seed": "runs with the same seed are identical",
    "run.name": "the run's folder below runs/; the same command again resumes the run",
}
EXAMPLES = {
    "mt train": "train a first model on a corpus that is downloaded",
    "mt train model=base train.minutes=60": "use a preset and change a setting",
    "mt train my.en my.de run.name=mine": "train on your own text",
    "mt train experiment=multi30k_en_de": "reproduce a published result",
    "mt train init=runs/mine new.en new.de": "go on from a model with more text, at a low learning rate",
    "mt train --config my.yaml optim.lr=1e-3": "use your settings file and override one setting",
    "mt train --resume runs/mine train.minutes=30": "train a run for longer",
    "mt train --dry-run debug=fast": "show what would happen",
    "mt train -m optim.lr=1e-3,2e-3 model=tiny,small": "train one model for each combination",
}
OPTIONS = {
    "--config FILE": "one YAML file of settings; it overrides the presets, and the command line overrides the file",
    "--config-dir FOLDER": "a folder of further presets, in groups as above",
    "--dry-run": "show what would happen, without training",
    "--resume RUN": "continue the run in this folder with its settings; limits such as train.minutes=30 may change",
    "-m, --multirun": "one run for each combination of values given as a,b",
    "--cfg job": "print every setting and its value",
    "--info defaults": "print the presets that are used, in order",
    "-sc install=bash": 'completion in the shell: eval "$(mt train -sc install=bash)"',
    "--hydra-help": "the other options of Hydra",
}


def usage() -> str:
    return f"""\
mt train trains a translation model and writes it to runs/NAME/model.

usage: mt train [GROUP=PRESET ...] [SECTION.SETTING=VALUE ...] [options]

presets (* is the default):
{columns(presets())}

most used settings:
{columns(SETTINGS)}

options:
{columns(OPTIONS)}

examples:
{columns(EXAMPLES)}"""


def presets() -> dict[str, str]:
    """Each group with its presets, the default marked, and what the group sets."""
    chosen, found = default_presets(), groups()
    return {
        group: " ".join(f"{name}*" if chosen.get(group) == name else name for name in found[group]) + f"  ({about})"
        for group, about in ABOUT.items()
    }


def columns(rows: dict[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join(f"  {left:{width}}  {right}" for left, right in rows.items())
