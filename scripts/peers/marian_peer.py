"""Marian (https://marian-nmt.github.io), through the command line inside the pymarian wheel."""

import json
import re

from peers import recipe
from peers.job import Job, Logged, Peer
from peers.pieces import read_vocabulary

LINE = re.compile(r"Up\. ([\d,]+) : .*Cost ([\d.]+) .*Time ([\d.]+)s : ([\d.]+) words/s")
EOS, UNK = "</s>", "<unk>"


def vocabulary(pieces: list[str]) -> dict[str, int]:
    """Marian wants its two marks first; the order of the others does not matter."""
    return {piece: i for i, piece in enumerate([EOS, UNK, *(p for p in pieces if p not in (EOS, UNK))])}


def settings(job: Job, vocab: str) -> dict[str, object]:
    """Names are those of the options."""
    shape = job.shape
    return {
        "type": "transformer",
        "train-sets": [str(job.pieces / "train.src"), str(job.pieces / "train.tgt")],
        "vocabs": [vocab, vocab],
        "model": str(job.rundir / "model.npz"),
        "tempdir": job.folder,
        "overwrite": True,
        "cpu-threads": job.threads,
        "sync-sgd": True,
        "dim-emb": shape.dim,
        "transformer-heads": shape.heads,
        "transformer-dim-ffn": shape.ffn_dim,
        "transformer-ffn-activation": "relu",
        "enc-depth": shape.layers,
        "dec-depth": shape.layers,
        "tied-embeddings-all": True,
        "transformer-preprocess": "n",  # norms first, and one at the end
        "transformer-postprocess": "da",
        "transformer-postprocess-top": "n",
        "transformer-dropout": recipe.DROPOUT,
        "label-smoothing": recipe.LABEL_SMOOTHING,
        "cost-type": "ce-mean-words",
        "optimizer-params": [*recipe.BETAS, recipe.EPS],
        "learn-rate": recipe.PEAK_RATE,
        "lr-warmup": str(recipe.RATE_WARM_UP),
        "lr-decay-inv-sqrt": [str(recipe.RATE_WARM_UP)],
        "clip-norm": recipe.CLIP_NORM,
        "mini-batch-words": job.tokens,
        "maxi-batch": 1000,
        "max-length": 256,
        "after": f"{job.updates}u",
        "disp-freq": f"{recipe.LOG_EVERY}u",
        "seed": recipe.SEED,
    }


def command(job: Job) -> list[str]:
    vocab = job.rundir / "vocabulary.yml"
    pieces = vocabulary(read_vocabulary(job.pieces))
    vocab.write_text(json.dumps(pieces, ensure_ascii=False, indent=0), encoding="utf-8")  # JSON is YAML
    file = job.rundir / "config.yml"
    file.write_text(json.dumps(settings(job, str(vocab)), indent=1))
    return [job.program("pymarian"), "train", "--config", str(file)]


def parse(line: str) -> Logged | None:
    """Of "Ep. 1 : Up. 10 : Sen. 2,365 : Cost 9.1 : Time 10.00s : 2048.00 words/s : ..", of the window each.

    Labels are counted for the cost type ce-sum only; time and rate give them here. Its words are target labels.
    """
    found = LINE.search(line)
    if found is None:
        return None
    return Logged(int(found[1].replace(",", "")), float(found[3]) * float(found[4]), float(found[2]))


PEER = Peer(
    name="marian",
    version="1.12.42",
    precisions=("fp32",),
    command=command,
    parse=parse,
    installs=(["pymarian==1.12.42"],),
    imports="pymarian",
    differs=(
        "the batch is split among workers, one a thread",
        "tokens are its own words a second times its seconds",
        "no bf16 on the CPU: set against ours in fp32 only",
    ),
)
