"""Hugging Face transformers' Seq2SeqTrainer, through `hf_train.py`, because it has no command line."""

from peers.job import ROOT, Job, Logged, Peer


def command(job: Job) -> list[str]:
    return [job.program("python"), "-m", "peers.hf_train", job.write()]


PEER = Peer(
    name="hf",
    version="5.23.0",
    precisions=("fp32", "bf16"),
    command=command,
    parse=Logged.of_line,
    installs=(["torch", "transformers==5.23.0", "accelerate"],),
    imports="transformers, accelerate",
    environment={"PYTHONPATH": str(ROOT / "scripts"), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    differs=(
        "a batch is a fixed number of sentences, grouped by source length, with the wanted target tokens in the mean",
        "the model is M2M100's, the one of its translation models with norms first",
    ),
)
