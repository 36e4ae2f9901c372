"""mt itself, as one of the toolkits: its batches, its model and its `Updater`, without validation and checkpoints.

As a program it runs the job of a file, and prints a JSON object every few updates.
"""

import json
import os
import sys

from peers import recipe
from peers.job import ROOT, Job, Logged, Peer


def command(job: Job) -> list[str]:
    return [sys.executable, "-m", "peers.ours", job.write()]


PEER = Peer(
    name="ours",
    version="of this checkout",
    precisions=("fp32", "bf16"),
    command=command,
    parse=Logged.of_line,
    environment={"PYTHONPATH": os.pathsep.join([str(ROOT / "scripts"), str(ROOT)])},
)


def main(job: Job) -> None:
    import torch

    from mt.compute.device import set_up_cpu
    from mt.config import BatchConfig, ModelConfig, OptimConfig, OptimizerKind, Precision, ScheduleConfig, ScheduleKind
    from mt.data.batching import BatchStream, TokenizedCorpus
    from mt.data.corpus.readers import read_pairs
    from mt.nn.encoders import text_model
    from mt.text.tokenizer import Tokenizer
    from mt.train.gradients import EagerGradients
    from mt.train.objective import TranslationLoss
    from mt.train.optim import make_optimizer
    from mt.train.schedules import rate
    from mt.train.step import Update, Updater

    set_up_cpu(job.threads)
    torch.manual_seed(recipe.SEED)
    tokenizer = Tokenizer.load(job.pieces)
    batch = BatchConfig(tokens=job.tokens, max_length=min(256, job.tokens))
    text = [str(job.pieces / "text.src"), str(job.pieces / "text.tgt")]
    stream = BatchStream(
        TokenizedCorpus(list(read_pairs(text, None, None)), tokenizer, max_length=batch.max_length),
        batch,
        seed=recipe.SEED,
    )
    shape = job.shape
    section = ModelConfig(
        dim=shape.dim, heads=shape.heads, ffn_dim=shape.ffn_dim, encoder_layers=shape.layers,
        decoder_layers=shape.layers, dropout=recipe.DROPOUT,
    )  # fmt: skip
    model = text_model(section, src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size)
    optimizer = make_optimizer(
        model,
        OptimConfig(
            name=OptimizerKind.adamw, lr=recipe.PEAK_RATE, beta1=recipe.BETAS[0], beta2=recipe.BETAS[1], eps=recipe.EPS
        ),
    )
    precision = Precision(job.precision)
    objective = TranslationLoss(model, precision=precision, smoothing=recipe.LABEL_SMOOTHING)
    updater = Updater(EagerGradients(objective), optimizer, clip_norm=recipe.CLIP_NORM)
    schedule = ScheduleConfig(name=ScheduleKind.inverse_sqrt, warmup_steps=recipe.RATE_WARM_UP)
    window: list[Update] = []
    for update in range(1, job.updates + 1):
        window.append(updater([next(stream)], recipe.PEAK_RATE * rate(schedule, update, 0.0)).read())
        if update % recipe.LOG_EVERY == 0:
            tokens = sum(u.tgt_tokens for u in window)
            loss, nll = (sum(getattr(u, name) * u.tgt_tokens for u in window) / tokens for name in ("loss", "nll"))
            print(json.dumps({"update": update, "tgt_tokens": tokens, "loss": loss, "nll": nll}), flush=True)
            window.clear()


if __name__ == "__main__":
    main(Job.read(sys.argv[1]))
