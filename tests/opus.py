"""A folder in the layout of OPUS-MT with random weights, written by transformers, and the model that it holds."""

import io
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece as spm
import torch

TAGS = [">>deu<<", ">>gos<<"]
LEFT_OUT = slice(8, 11)  # pieces of the source model that the table lacks


def sentences(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Pairs of made words, of which few are frequent, so that some pieces are words and others are syllables."""
    make, draw = random.Random(0), random.Random(seed)
    syllables = [[a + b for a in "bdfgklmnprst" for b in vowels] for vowels in ("aeiou", "aäeöuü")]
    words = [["".join(make.choices(side, k=make.randint(1, 3))) for _ in range(80)] for side in syllables]
    weights = [1 / rank for rank in range(1, 81)]

    def text(side: int) -> str:
        return " ".join(draw.choices(words[side], weights, k=draw.randint(1, 8))) + "."

    return [(text(0), text(1)) for _ in range(count)]


@cache
def piece_models(kind: str = "unigram") -> tuple[bytes, bytes]:
    found = []
    for side in (0, 1):
        written = io.BytesIO()
        spm.SentencePieceTrainer.Train(
            sentence_iterator=iter([pair[side] for pair in sentences(400)]), model_writer=written, vocab_size=90,
            model_type=kind, minloglevel=2, num_threads=1,
        )  # fmt: skip
        found.append(written.getvalue())
    return found[0], found[1]


def pieces_of(data: bytes) -> list[str]:
    model = spm.SentencePieceProcessor(model_proto=data)
    return [model.id_to_piece(i) for i in range(len(model)) if not model.is_control(i) and not model.is_unknown(i)]


def table(kind: str = "unigram") -> dict[str, int]:
    """End mark and unknown piece first, pad last, and in between the pieces of both models in an order of its own."""
    source, target = map(pieces_of, piece_models(kind))
    mixed = sorted({*source, *target, *TAGS} - {*source[LEFT_OUT]}, key=lambda piece: piece[::-1])
    return {piece: number for number, piece in enumerate(["</s>", "<unk>", *mixed, "<pad>"])}


def marian(size: int, *, std: float = 0.3, **settings: Any):
    """A MarianMTModel of transformers with random weights and opinions."""
    from transformers import MarianConfig, MarianMTModel

    small = {
        "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64,
        "activation_function": "swish", "scale_embedding": True, "vocab_size": size, "decoder_start_token_id": size - 1,
        "pad_token_id": size - 1, "eos_token_id": 0, "forced_eos_token_id": 0, "num_beams": 3,
        "bad_words_ids": [[size - 1]], "max_length": 64,
    }  # fmt: skip
    torch.manual_seed(1)
    kept = {**small, **settings}
    search = {name: kept.pop(name) for name in ("num_beams", "bad_words_ids", "max_length", "forced_eos_token_id")}
    model = MarianMTModel(MarianConfig(**kept))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "positions" not in name:
                parameter.normal_(std=std)
        model.model.decoder.embed_tokens.weight[-1] = 0  # as the converted models have it
        model.final_logits_bias.normal_()
        model.final_logits_bias[0, -1] = 0
    model.generation_config.update(**search)
    return model.eval()


def write_opus(folder: Path, *, kind: str = "unigram", pickled: bool = False, **settings: Any):
    """Write such a folder. Returns: the model. Args: pickled: weights in a file of torch, all copies of them."""
    numbers = table(kind)
    model = marian(len(numbers), **settings)
    model.save_pretrained(folder)
    if pickled:
        (folder / "model.safetensors").unlink()
        state = model.state_dict()
        for side in ("encoder", "decoder"):
            name = f"model.{side}.embed_positions.weight"
            state[name] = getattr(model.model, side).embed_positions.weight
        torch.save(state, folder / "pytorch_model.bin")
    for name, data in zip(("source.spm", "target.spm"), piece_models(kind), strict=True):
        (folder / name).write_bytes(data)
    (folder / "vocab.json").write_text(json.dumps(numbers))
    (folder / "tokenizer_config.json").write_text(json.dumps({"source_lang": "en", "target_lang": "de"}))
    return model
