"""mt itself, as one of the toolkits: its batches, its model and its `Updater`, without validation and checkpoints.

Run as a program it trains what the job file says, and prints a JSON object every few updates.
"""

import json
import os
import sys
from pathlib import Path

from peers.job import (
    BETAS,
    CLIP_NORM,
    DROPOUT,
    EPS,
    LABEL_SMOOTHING,
    LOG_EVERY,
    PEAK_RATE,
    RATE_WARM_UP,
    ROOT,
    SEED,
    Job,
    Logged,
    Peer,
)


def command(job: Job) -> list[str]:
    file = job.rundir / "job.json"
    file.write_text(json.dumps(job.to_dict()))
    return [sys.executable, "-m", "peers.ours", str(file)]


def parse(line: str) -> Logged | None:
    return Logged(**json.loads(line)) if line.startswith('{"update"') else None


PEER = Peer(
    name="ours",
    version="of this checkout",
    precisions=("fp32", "bf16"),
    command=command,
    parse=parse,
    environment={"PYTHONPATH": os.pathsep.join([str(ROOT / "scripts"), str(ROOT)])},
)


def main(job: Job) -> None:
    import torch

    from mt.batching import BatchStream, TokenizedCorpus
    from mt.config import BatchConfig, ModelConfig, OptimConfig, Precision, ScheduleConfig, ScheduleKind
    from mt.corpus.readers import read_pairs
    from mt.device import set_up_cpu
    from mt.nn.transformer import Transformer
    from mt.optim import make_optimizer
    from mt.schedules import rate
    from mt.tokenizer import Tokenizer
    from mt.train.update import Update, Updater

    set_up_cpu(job.threads)
    torch.manual_seed(SEED)
    tokenizer = Tokenizer.load(job.pieces)
    batch = BatchConfig(tokens=job.tokens, max_length=min(256, job.tokens))
    text = [str(job.pieces / "text.src"), str(job.pieces / "text.tgt")]
    stream = BatchStream(
        TokenizedCorpus(list(read_pairs(text, None, None)), tokenizer, max_length=batch.max_length), batch, seed=SEED
    )
    shape = job.shape
    section = ModelConfig(
        dim=shape.dim, heads=shape.heads, ffn_dim=shape.ffn_dim, encoder_layers=shape.layers,
        decoder_layers=shape.layers, dropout=DROPOUT,
    )  # fmt: skip
    model = Transformer(section, src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size)
    optimizer = make_optimizer(model, OptimConfig(lr=PEAK_RATE, beta1=BETAS[0], beta2=BETAS[1], eps=EPS))
    precision = Precision(job.precision)
    updater = Updater(model, optimizer, precision=precision, smoothing=LABEL_SMOOTHING, clip_norm=CLIP_NORM)
    schedule = ScheduleConfig(name=ScheduleKind.inverse_sqrt, warmup_steps=RATE_WARM_UP)
    window: list[Update] = []
    for update in range(1, job.updates + 1):
        window.append(updater([next(stream)], PEAK_RATE * rate(schedule, update, 0.0)).read())
        if update % LOG_EVERY == 0:
            tokens = sum(u.tgt_tokens for u in window)
            loss, nll = (sum(getattr(u, name) * u.tgt_tokens for u in window) / tokens for name in ("loss", "nll"))
            print(json.dumps({"update": update, "tgt_tokens": tokens, "loss": loss, "nll": nll}), flush=True)
            window.clear()


if __name__ == "__main__":
    main(Job.from_dict(json.loads(Path(sys.argv[1]).read_text())))
