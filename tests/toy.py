"""A toy corpus of number words, with its tokenizer, models and updates; made in a moment."""

import fcntl
import os
import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file, save_file

from mt.checkpoint import write_folder
from mt.checkpoint.model_folder import WEIGHTS, Description
from mt.config import BatchConfig, DecodeConfig, ModelConfig, OptimConfig, OptimizerKind, Precision, TokenizerConfig
from mt.data.batching import BatchStream, TokenizedCorpus
from mt.data.corpus.pair import Origin, Pair
from mt.nn.encoders import text_model
from mt.nn.transformer import Transformer
from mt.text.tokenizer import Tokenizer
from mt.text.tokenizer_training import train_tokenizer
from mt.train.gradients import EagerGradients
from mt.train.objective import TranslationLoss
from mt.train.optim import make_optimizer
from mt.train.step import Updater

ENGLISH = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
GERMAN = ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"]


def number_pairs(count: int, seed: int = 0) -> list[Pair]:
    draw = random.Random(seed)
    found = []
    for line in range(1, count + 1):
        digits = [draw.randrange(10) for _ in range(draw.randint(2, 6))]
        texts = (" ".join(words[d] for d in digits) for words in (ENGLISH, GERMAN))
        found.append(Pair(*texts, Origin("numbers.tsv", line)))
    return found


@cache
def number_tokenizer(*tags: str) -> Tokenizer:
    pairs = number_pairs(200)
    section = TokenizerConfig(vocab_size=60, byte_fallback=False, tags=[*tags])
    with TemporaryDirectory() as cache_folder:
        return train_tokenizer([p.src for p in pairs], [p.tgt for p in pairs], section, Path(cache_folder))


def number_corpus(count: int, seed: int = 0) -> TokenizedCorpus:
    return TokenizedCorpus(number_pairs(count, seed), number_tokenizer())


def tiny_config(**options) -> ModelConfig:
    small = {"dim": 16, "heads": 2, "ffn_dim": 24, "encoder_layers": 1, "decoder_layers": 1, "dropout": 0.0}
    return ModelConfig(**{**small, **options})


def tiny_model(seed: int = 0, *, tags: Sequence[str] = (), **options) -> Transformer:
    torch.manual_seed(seed)
    size = number_tokenizer(*tags).tgt_size
    return text_model(tiny_config(**options), src_size=size, tgt_size=size)


def updater_of(model: Transformer, precision: Precision = Precision.fp32, *, smoothing=0.1, guide=None, accelerate=None,
               clip_norm=0.0, **options) -> Updater:  # fmt: skip
    """Args: guide: makes the objective from the translation loss; accelerate: makes gradients from the eager ones."""
    objective = TranslationLoss(model, precision=precision, smoothing=smoothing)
    gradients = EagerGradients(guide(objective) if guide else objective)
    optimizer = make_optimizer(model, OptimConfig(name=OptimizerKind.adamw, lr=1e-2))
    return Updater(accelerate(gradients) if accelerate else gradients, optimizer, clip_norm=clip_norm, **options)


def stream_of(corpus: TokenizedCorpus, tokens: int = 64, **options) -> BatchStream:
    return BatchStream(corpus, BatchConfig(tokens=tokens, max_length=32, **options), seed=1)


def trained_numbers(turned: bool = False) -> Transformer:
    """A model trained to translate number words one by one, in lines of two to six: of a line of one word it knows no
    more than how a processor adds. Args: turned: from German to English."""
    return _trained_numbers(turned)


@cache
def _trained_numbers(turned: bool) -> Transformer:
    model = tiny_model(dim=32, ffn_dim=64)
    model.load_state_dict(made_once(f"numbers-{turned}", lambda: train_numbers(turned).state_dict()))
    return model.eval()


def train_numbers(turned: bool) -> Transformer:
    """In double precision, so that what it learns does not hang on the order in which a processor adds."""
    corpus = number_corpus(1200)
    if turned:
        corpus = TokenizedCorpus([Pair(p.tgt, p.src, p.origin) for p in number_pairs(1200)], number_tokenizer())
    model = tiny_model(dim=32, ffn_dim=64).double()
    update, stream = updater_of(model), stream_of(corpus, tokens=512)
    updates = 300
    for done in range(updates):
        update([next(stream)], lr=1e-2 * (1 - done / updates))
    return model.float()


def made_once(name: str, make: Callable[[], dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """What `make` returns, made by the first of pytest's workers that asks for it."""
    if "MT_TEST_SHARED" not in os.environ:
        return make()
    file = Path(os.environ["MT_TEST_SHARED"]) / f"{name}.safetensors"
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            save_file({key: tensor.clone() for key, tensor in make().items()}, file)
        return load_file(file)


def write_numbers(folder: Path, weights: dict[str, torch.Tensor] | None = None, **decode) -> Path:
    """A model folder of `trained_numbers`. Args: weights: in place of its own; decode: settings of the search."""
    t, made = number_tokenizer(), trained_numbers()
    description = Description(
        src="en", tgt="de", src_size=t.src_size, tgt_size=t.tgt_size, max_length=64, precision=Precision.fp32,
        model=made.config, decode=DecodeConfig(**decode), usual_length=8,
    )  # fmt: skip
    named = {**dict(made.named_parameters()), **(weights or {})}
    write_folder(folder, {**description.files(t), WEIGHTS: named}, replace=True)
    return folder
