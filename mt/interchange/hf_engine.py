"""An exported folder in transformers, for the comparison with its model."""

# pyright: reportMissingImports=false
# The library is needed by this module only.

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mt.decode.search.engine import Wanted
from mt.decode.search.settings import Hypothesis, Search
from mt.errors import CheckpointError, require_package
from mt.text.tokenizer import Tokenizer

BATCH = 32  # sentences


class HfEngine:
    """A folder for `MarianMTModel` and `MarianTokenizer`. Sentences are token ids; sources end with eos."""

    def __init__(self, folder: Path, tokenizer: Tokenizer) -> None:
        """Args: tokenizer: ours, whose ids the folder's must give."""
        require_package("transformers", "the comparison with MarianMT")
        with _quiet():
            from transformers import MarianMTModel, MarianTokenizer

            model: Any = MarianMTModel.from_pretrained(str(folder), local_files_only=True)
            self.model = model.eval()
            self.theirs: Any = MarianTokenizer.from_pretrained(str(folder), local_files_only=True)
        self.start, self.pad = self.model.config.decoder_start_token_id, self.model.config.pad_token_id
        self.tokenizer = tokenizer

    def search(self, source: Sequence[Sequence[int]], search: Search, wanted: Wanted) -> list[list[Hypothesis]]:
        """The translation of every sentence by greedy search, without scores."""
        limits = search.max_lengths(source)
        found: list[list[Hypothesis]] = []
        for first in range(0, len(source), BATCH):
            some, longest = source[first : first + BATCH], limits[first : first + BATCH]
            with torch.inference_mode(), _quiet():
                rows = self.model.generate(
                    **self._padded(some), num_beams=1, do_sample=False, min_length=0,
                    max_length=max(longest) + 1, forced_eos_token_id=None,
                )  # fmt: skip
            for row, limit in zip(rows.tolist(), longest, strict=True):
                tokens = row[1 : limit + 1]
                finished = search.eos in tokens
                tokens = tokens[: tokens.index(search.eos)] if finished else tokens
                found.append(
                    [Hypothesis(tokens=tokens, score=0.0, log_prob=0.0, token_log_probs=[], finished=finished)]
                )
        return found

    def log_probs(self, source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> list[list[float]]:
        """The log-probability of each target token and of eos. Args: target: token ids without bos and eos."""
        found, eos = [], self.tokenizer.eos
        for ids, tokens in zip(source, target, strict=True):
            with torch.inference_mode():
                logits = self.model(
                    input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([[self.start, *tokens]])
                ).logits[0]
            wanted = torch.tensor([*tokens, eos])
            found.append(logits.float().log_softmax(-1).gather(1, wanted[:, None]).squeeze(1).tolist())
        return found

    def check(self, texts: Sequence[str]) -> None:
        """Raises: CheckpointError: unless the folder's tokenizer gives these texts the ids of ours.

        Signs that ours leaves out are left out of the texts: MarianTokenizer spells them in bytes.
        """
        known = [self.tokenizer.readable(text) for text in texts]
        with _quiet():
            theirs = self.theirs(known)["input_ids"]
        for text, ours, other in zip(known, self.tokenizer.encode_source(known), theirs, strict=True):
            if ours != other:
                raise CheckpointError(
                    f"the export does not split text as the model does: {text[:70]!r} has the ids {other[:20]}, "
                    f"not {ours[:20]}."
                )

    def _padded(self, source: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        rows = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in source], True, self.pad)
        lengths = torch.tensor([len(ids) for ids in source])
        return {"input_ids": rows, "attention_mask": (torch.arange(rows.shape[1]) < lengths[:, None]).long()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice of transformers, and without its network."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers.utils import logging

        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
