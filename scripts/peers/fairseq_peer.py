"""fairseq, in the maintained build fairseq-fixed, through its command line."""

import json
import math

from peers import recipe
from peers.job import Job, Logged, Peer
from peers.pieces import read_vocabulary

MARKS = {"<s>", "<pad>", "</s>", "<unk>"}  # fairseq has its own


def before(job: Job) -> list[str]:
    """Pieces to its binary form; kept beside the pieces. Empty where that was done."""
    folder = job.pieces / "fairseq"
    if (folder / "train.src-tgt.tgt.idx").exists():
        return []
    folder.mkdir(exist_ok=True)
    known = [piece for piece in read_vocabulary(job.pieces) if piece not in MARKS]
    (folder / "pieces.txt").write_text("".join(f"{piece} 1\n" for piece in known), encoding="utf-8")
    return [
        job.program("fairseq-preprocess"), "--source-lang", "src", "--target-lang", "tgt", "--joined-dictionary",
        "--srcdict", str(folder / "pieces.txt"), "--trainpref", str(job.pieces / "train"), "--destdir", str(folder),
    ]  # fmt: skip


def command(job: Job) -> list[str]:
    shape = job.shape
    options: dict[str, object] = {
        "task": "translation",
        "source-lang": "src",
        "target-lang": "tgt",
        "arch": "transformer",
        "dropout": recipe.DROPOUT,
        "criterion": "label_smoothed_cross_entropy",
        "label-smoothing": recipe.LABEL_SMOOTHING,
        "optimizer": "adam",
        "adam-betas": str(recipe.BETAS),
        "adam-eps": recipe.EPS,
        "clip-norm": recipe.CLIP_NORM,
        "lr": recipe.PEAK_RATE,
        "lr-scheduler": "inverse_sqrt",
        "warmup-updates": recipe.RATE_WARM_UP,
        "warmup-init-lr": recipe.PEAK_RATE / recipe.RATE_WARM_UP,
        "max-tokens": job.tokens,
        "max-update": job.updates,
        "log-format": "json",
        "log-interval": recipe.LOG_EVERY,
        "num-workers": 0,
        "seed": recipe.SEED,
    }
    for side in ("encoder", "decoder"):
        options |= {
            f"{side}-layers": shape.layers,
            f"{side}-embed-dim": shape.dim,
            f"{side}-ffn-embed-dim": shape.ffn_dim,
            f"{side}-attention-heads": shape.heads,
        }
    flags = ["cpu", "share-all-embeddings", "encoder-normalize-before", "decoder-normalize-before"]
    flags += ["no-save", "disable-validation"]
    data = str(job.pieces / "fairseq")
    pairs = [f"--{name}={value}" for name, value in options.items()]
    return [job.program("fairseq-train"), data, *pairs, *(f"--{flag}" for flag in flags)]


def parse(line: str) -> Logged | None:
    """Of a JSON object with `num_updates`; `wpb` is target tokens a batch, losses are in bits."""
    where = line.find("{")
    if "train_inner" not in line or where < 0:
        return None
    record = json.loads(line[where:])
    loss, nll = (float(record[name]) * math.log(2) for name in ("loss", "nll_loss"))
    return Logged(int(record["num_updates"]), float(record["wpb"]) * recipe.LOG_EVERY, loss, nll)


PEER = Peer(
    name="fairseq",
    version="0.12.3.1",
    precisions=("fp32",),
    command=command,
    parse=parse,
    installs=(
        ["torch", "setuptools<80", "wheel", "cython", "numpy", "scikit-learn"],  # the last is imported, not declared
        ["omegaconf==2.3.0", "hydra-core==1.3.2", "sacrebleu", "regex", "bitarray", "cffi", "tqdm", "packaging"],
        ["--no-deps", "--no-build-isolation", "fairseq-fixed==0.12.3.1"],  # its metadata require torchaudio
    ),
    imports="fairseq",
    before=before,
    differs=(
        "a batch is sentences times the longest side, padding included",
        "without CUDA it takes --bf16 to mean a TPU: set against ours in fp32 only",
    ),
)
