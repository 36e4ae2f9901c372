"""eole (https://github.com/eole-nlp/eole), through its command line."""

import json
import math
import re

from peers import recipe
from peers.job import Job, Logged, Peer
from peers.pieces import num_pairs, read_vocabulary

LINE = re.compile(r"Step +(\d+)/ *\d+; .*ppl: *([\d.]+);.*bsz: *[\d.]+/ *([\d.]+)/")


def config(job: Job, *, pairs: int, pieces: int) -> dict[str, object]:
    shape = job.shape
    return {
        "seed": recipe.SEED,
        "share_vocab": True,
        "src_vocab": str(job.pieces / "vocabulary.txt"),
        "src_vocab_size": pieces,
        "tgt_vocab_size": pieces,
        "vocab_size_multiple": 1,
        "pad_token": "<pad>",
        "overwrite": True,
        "save_data": job.folder,
        "report_every": recipe.LOG_EVERY,
        "transforms": [],
        "data": {"text": {"path_src": str(job.pieces / "train.src"), "path_tgt": str(job.pieces / "train.tgt")}},
        "training": {
            "model_path": str(job.rundir / "model"),
            "compute_dtype": job.precision,
            "batch_type": "tokens",
            "batch_size": job.tokens,
            "normalization": "tokens",
            "bucket_size": pairs,  # a larger bucket is filled by reading the corpus again and again
            "num_workers": 0,
            "train_steps": job.updates,
            "save_checkpoint_steps": job.updates,
            "valid_steps": job.updates,
            "optim": "adam",
            "adam_beta1": recipe.BETAS[0],
            "adam_beta2": recipe.BETAS[1],
            "adam_eps": recipe.EPS,
            "max_grad_norm": recipe.CLIP_NORM,
            "decay_method": "noam",
            "warmup_steps": recipe.RATE_WARM_UP,
            # what noam takes to have this peak
            "learning_rate": recipe.PEAK_RATE * math.sqrt(shape.dim * recipe.RATE_WARM_UP),
            "label_smoothing": recipe.LABEL_SMOOTHING,
            "dropout": [recipe.DROPOUT],
            "attention_dropout": [0.0],
            "param_init_method": "xavier_uniform",
            "log_attention_entropy": False,  # its default costs some 6 %
        },
        "model": {
            "architecture": "transformer",
            "layers": shape.layers,
            "hidden_size": shape.dim,
            "transformer_ff": shape.ffn_dim,
            "heads": shape.heads,
            "share_embeddings": True,
            "share_decoder_embeddings": True,
            "embeddings": {
                "word_vec_size": shape.dim,
                "position_encoding": True,
                "position_encoding_type": "SinusoidalInterleaved",
            },
        },
    }


def command(job: Job) -> list[str]:
    settings = config(job, pairs=num_pairs(job.pieces), pieces=len(read_vocabulary(job.pieces)))
    file = job.rundir / "config.yaml"
    file.write_text(json.dumps(settings, indent=1))  # JSON is YAML
    return [job.program("eole"), "train", "-config", str(file)]


def parse(line: str) -> Logged | None:
    """Of "Step 10/ 40; acc: ..; ppl: ..; .. bsz: src/tgt/sentences; ..": all are means of the window, per batch."""
    found = LINE.search(line)
    if found is None:
        return None
    return Logged(int(found[1]), float(found[3]) * recipe.LOG_EVERY, math.log(float(found[2])))


PEER = Peer(
    name="eole",
    version="0.6.4",
    precisions=("fp32", "bf16"),
    command=command,
    parse=parse,
    installs=(["eole==0.6.4", "aiohttp"],),  # every command imports aiohttp, which the package does not declare
    imports="eole, aiohttp",
    differs=(
        "a batch is sentences times the longest side, padding included",
        "the source has no end mark",
        "linear layers have no bias",
    ),
)
