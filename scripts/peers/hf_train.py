"""The run of Seq2SeqTrainer in its own virtual environment, where torch and transformers are installed.

Of this repository it imports `job.py` and `recipe.py` only.

Target tokens are counted in the collator, end marks included and padding not; the loss is that of the Trainer's log,
with label smoothing.
"""

import json
import sys
from pathlib import Path
from typing import Any

from peers import recipe
from peers.job import Job

BOS, EOS, PAD = 1, 2, 3  # of every SentencePiece model that mt trains
IGNORED = -100  # what the library's loss passes over


def read_examples(pieces: Path) -> list[dict[str, Any]]:
    """Both sides end in the end mark."""
    examples = []
    with (pieces / "ids.jsonl").open(encoding="utf-8") as file:
        for line in file:
            source, target = json.loads(line)
            examples.append({"input_ids": [*source, EOS], "labels": [*target, EOS]})
    return examples


def sentences_per_batch(examples: list[dict[str, Any]], tokens: int) -> int:
    """As many as have the wanted number of target tokens in the mean."""
    return round(tokens * len(examples) / sum(len(example["labels"]) for example in examples))


def collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
    """Padded ids [B, S] and [B, T]. The decoder's input is given, since label smoothing takes the labels away."""
    import torch

    def padded(rows: list[list[int]], value: int) -> torch.Tensor:
        width = max(map(len, rows))
        return torch.tensor([row + [value] * (width - len(row)) for row in rows])

    source = padded([example["input_ids"] for example in examples], PAD)
    targets = [example["labels"] for example in examples]
    return {
        "input_ids": source,
        "attention_mask": (source != PAD).long(),
        "decoder_input_ids": padded([[BOS, *target[:-1]] for target in targets], PAD),
        "labels": padded(targets, IGNORED),
    }


def make_model(job: Job, size: int) -> Any:
    from transformers import M2M100Config, M2M100ForConditionalGeneration  # pyright: ignore[reportMissingImports]

    shape = job.shape
    config = M2M100Config(
        vocab_size=size, d_model=shape.dim, max_position_embeddings=512, activation_function="relu",
        encoder_layers=shape.layers, encoder_attention_heads=shape.heads, encoder_ffn_dim=shape.ffn_dim,
        decoder_layers=shape.layers, decoder_attention_heads=shape.heads, decoder_ffn_dim=shape.ffn_dim,
        dropout=recipe.DROPOUT, attention_dropout=0.0, activation_dropout=0.0,
        encoder_layerdrop=0.0, decoder_layerdrop=0.0,
        bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD, decoder_start_token_id=BOS, use_cache=False,
        tie_word_embeddings=True, scale_embedding=True, init_std=shape.dim**-0.5,
    )  # fmt: skip
    return M2M100ForConditionalGeneration(config)


def main(job: Job) -> None:
    import torch
    import transformers  # pyright: ignore[reportMissingImports]
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(job.threads)
    transformers.set_seed(recipe.SEED)
    examples = read_examples(job.pieces)
    counted: list[int] = []

    def collate_and_count(batch: list[dict[str, Any]]) -> dict[str, Any]:
        counted.append(sum(len(example["labels"]) for example in batch))
        return collate(batch)

    class Report(TrainerCallback):
        """One JSON line for each entry of the log that has a loss.

        The loader reads one batch ahead: the batches of the window are known by their index, not by the count.
        """

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                step = state.global_step
                tokens = sum(counted[step - recipe.LOG_EVERY : step])
                print(json.dumps({"update": step, "tgt_tokens": tokens, "loss": float(logs["loss"])}), flush=True)

    arguments = Seq2SeqTrainingArguments(
        output_dir=str(job.rundir / "out"),
        max_steps=job.updates, per_device_train_batch_size=sentences_per_batch(examples, job.tokens),
        train_sampling_strategy="group_by_length", remove_unused_columns=False, dataloader_num_workers=0,
        label_smoothing_factor=recipe.LABEL_SMOOTHING, max_grad_norm=recipe.CLIP_NORM,
        learning_rate=recipe.PEAK_RATE, lr_scheduler_type="inverse_sqrt", warmup_steps=recipe.RATE_WARM_UP,
        adam_beta1=recipe.BETAS[0], adam_beta2=recipe.BETAS[1], adam_epsilon=recipe.EPS, optim="adamw_torch",
        weight_decay=0.0, bf16=job.precision == "bf16", use_cpu=True, seed=recipe.SEED, report_to=[],
        save_strategy="no", eval_strategy="no",
        logging_strategy="steps", logging_steps=recipe.LOG_EVERY, disable_tqdm=True,
    )  # fmt: skip
    with (job.pieces / "vocabulary.txt").open("rb") as file:
        size = sum(1 for _ in file)
    trainer = Seq2SeqTrainer(
        model=make_model(job, size), args=arguments, train_dataset=examples, data_collator=collate_and_count,
        callbacks=[Report()],
    )  # fmt: skip
    trainer.train()


if __name__ == "__main__":
    main(Job.read(sys.argv[1]))
