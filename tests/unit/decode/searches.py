"""Searches whose steps tests compare: what is translated, by which model, and in which ways."""

from contextlib import nullcontext

import torch

from mt.decode.search.beam import beam_search
from mt.decode.search.greedy import greedy_search
from mt.decode.search.sampling import Sampling, sample_search
from mt.decode.search.settings import Search
from mt.nn.ragged import pack

BOS, EOS, PAD, V = 1, 2, 3, 19
LENGTHS = [(9, 3, 17, 4, 1), (6, 6, 2), (2, 8, 3, 5, 1, 7), (1,)]  # of the sentences of each batch


def drawn_batches():
    draw = torch.Generator().manual_seed(4)
    return [
        [[*torch.randint(4, V, (length,), generator=draw).tolist(), EOS] for length in lengths] for lengths in LENGTHS
    ]


def opinionated(small_model, **options):
    """One whose translations end early and late."""
    model = small_model(src_size=V, tgt_size=V, **options)
    with torch.no_grad():
        model.out_weight.mul_(2)
    return model


def settings(beam):
    return Search(bos=BOS, eos=EOS, pad=PAD, beam=beam, nbest=beam, length_penalty=1.0, max_ratio=1.0, max_extra=9)


def by_beams(stepper, source):
    return beam_search(stepper, source, search=settings(4))


def by_greed(stepper, source):
    return greedy_search(stepper, source, search=settings(1))


def by_chance(stepper, source):
    return sample_search(stepper, source, search=settings(1), sampling=Sampling(samples=5, seed=3))


HOWS = [by_beams, by_greed, by_chance]


class UncachedStepper:
    """Decodes the whole prefix again at every step, in 32 bits: the oracle of `CachedStepper`."""

    def __init__(self, model):
        self.model = model
        self.device = model.tgt_weight.device

    def prepared(self):
        return nullcontext()

    def start(self, source):
        self.source = source
        self.prefixes = [[] for _ in source]

    def step(self, tokens):
        self.prefixes = [[*prefix, token] for prefix, token in zip(self.prefixes, tokens.tolist(), strict=True)]
        beam = len(self.prefixes) // len(self.source)
        source = self.model.encoder.pack([sentence for sentence in self.source for _ in range(beam)])
        ids, layout = pack(self.prefixes)
        hidden = self.model.decode(ids, layout, self.model.encode(source))
        return self.model.logits(hidden[layout.last_rows]).float().log_softmax(-1)

    def reorder(self, rows, sentences=None):
        self.prefixes = [list(self.prefixes[row]) for row in rows.tolist()]
        if sentences is not None:
            self.source = [self.source[i] for i in sentences.tolist()]
