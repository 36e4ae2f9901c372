"""Hugging Face transformers' Seq2SeqTrainer, through `hf_train.py`, for it has no command line of its own."""

import json

from peers.job import ROOT, Job, Logged, Peer


def command(job: Job) -> list[str]:
    file = job.rundir / "job.json"
    file.write_text(json.dumps(job.to_dict()))
    return [job.program("python"), "-m", "peers.hf_train", str(file)]


def parse(line: str) -> Logged | None:
    return Logged(**json.loads(line)) if line.startswith('{"update"') else None


PEER = Peer(
    name="hf",
    version="5.23.0",
    precisions=("fp32", "bf16"),
    command=command,
    parse=parse,
    installs=(["torch", "transformers==5.23.0", "accelerate"],),
    imports="transformers, accelerate",
    environment={"PYTHONPATH": str(ROOT / "scripts"), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    differs=(
        "a batch is a fixed number of sentences, grouped by source length, with the wanted target tokens in the mean",
        "the model is M2M100's, the one of its translation models with norms first",
    ),
)
