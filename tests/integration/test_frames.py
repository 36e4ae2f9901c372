"""Another kind of source: a model of frames trains, resumes, is saved, loaded and decodes like a model of text.

Frames follow a rule: every number word of the target is two frames, each with an angle for the number and the time
since the word began. Stream, trainer, checkpoints, folders and search are the same; only the encoder differs.
"""

import math

import numpy as np
import pytest
import torch
from toy import GERMAN, number_pairs, number_tokenizer, tiny_config, updater_of

from mt.checkpoint import Checkpoints, write_folder
from mt.checkpoint.model_folder import Description
from mt.config import BatchConfig, DecodeConfig, Precision, ScheduleConfig, ScheduleKind, TrainConfig
from mt.config.enums import SourceKind
from mt.data.batching import BatchStream, TokenizedCorpus, fill_to, fill_up, make_batch
from mt.data.batching.batch import Flat, pack_batch
from mt.data.batching.blocks import Shape
from mt.decode.load import load
from mt.decode.search.beam import beam_search
from mt.decode.search.settings import Search
from mt.errors import ConfigError
from mt.nn.encoders import FrameEncoder, frame_model
from mt.nn.source import FrameSource, TokenSource
from mt.train.trainer import Outputs, Trainer
from mt.train.validate import Validation

SIZE = 3  # numbers in a frame


def frames_of(text: str) -> torch.Tensor:
    angles = [2 * math.pi * GERMAN.index(word) / len(GERMAN) for word in text.split()]
    return torch.tensor([[math.cos(a), math.sin(a), part] for a in angles for part in (0.0, 1.0)])


class Frames:
    """Source items of a corpus, with the interface that `mt.data.batching` uses."""

    def __init__(self, items: list[torch.Tensor]) -> None:
        sizes = np.array([len(item) for item in items], np.int64)
        self.all = Flat(torch.cat(items).numpy(), sizes.cumsum() - sizes, sizes)

    def flat(self, indices):
        return Flat(self.all.rows, self.all.starts[indices], self.all.lengths[indices])

    def lengths(self):
        return self.all.lengths


class FrameCorpus(TokenizedCorpus):
    """Pairs whose source is frames made from the target."""

    source = property(lambda self: self.frames)  # pyright: ignore[reportAssignmentType]

    def __init__(self, count: int) -> None:
        super().__init__(number_pairs(count), number_tokenizer())
        self.frames = Frames([frames_of(pair.tgt) for pair in self.pairs])


def new_model():
    torch.manual_seed(0)
    return frame_model(tiny_config(dim=32, ffn_dim=64), frame_size=SIZE, tgt_size=number_tokenizer().tgt_size)


class Killed(BaseException):
    """An exception that the trainer does not catch, so that nothing is saved."""


class KilledAt:
    """A progress line."""

    def __init__(self, step: int) -> None:
        self.step = step

    def update(self, status) -> None:
        if status.step == self.step:
            raise Killed


def trainer_of(folder) -> Trainer:
    batch = BatchConfig(tokens=512, max_length=32, pool=256)
    return Trainer(
        updater=updater_of(new_model(), clip_norm=1.0),
        stream=BatchStream(FrameCorpus(2000), batch, seed=1),
        validator=lambda model: Validation(0.0, 0.0, 0.0, [], [], []),  # pyright: ignore[reportArgumentType]
        checkpoints=Checkpoints(folder, 1),
        train=TrainConfig(steps=300, validate_every=100),
        batch=batch,
        schedule=ScheduleConfig(name=ScheduleKind.linear, warmup_steps=20),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    trainer = trainer_of(tmp_path_factory.mktemp("unbroken"))
    trainer.fit()
    return trainer.updater.model.eval()


def test_a_run_goes_on_bit_for_bit_where_it_stopped(trained, tmp_path):
    first, second = trainer_of(tmp_path), trainer_of(tmp_path)
    with pytest.raises(Killed):
        first.fit(Outputs(progress=KilledAt(130)))
    second.resume(second.checkpoints.latest())
    assert second.state.step == 100
    second.fit()
    names = [name for name, _ in trained.named_parameters()]
    assert {"src_embedding.linear.weight", "tgt_weight", "encoder.0.self_attention.query.weight"} <= set(names)
    for (name, one), other in zip(trained.named_parameters(), second.updater.model.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_a_folder_is_loaded_and_what_the_frames_say_is_read_off_them(trained, tmp_path):
    tokenizer = number_tokenizer()
    told = Description(
        src="frames", tgt="de", src_size=SIZE, tgt_size=tokenizer.tgt_size, max_length=64, source=SourceKind.frames,
        precision=Precision.fp32, model=trained.config, decode=DecodeConfig(),
    )  # fmt: skip
    weights = {name: p.detach() for name, p in trained.named_parameters()}
    write_folder(tmp_path / "model", {**told.files(tokenizer), "model.safetensors": weights})
    translator = load(tmp_path / "model", device="cpu")
    assert isinstance(translator.stepper.model.encoder, FrameEncoder)
    texts = [pair.tgt for pair in number_pairs(40, seed=7)]
    search = Search(bos=tokenizer.bos, eos=tokenizer.eos, pad=tokenizer.pad, beam=3)
    with torch.inference_mode(), translator.stepper.prepared():
        found = beam_search(translator.stepper, [frames_of(text) for text in texts], search=search)
    right = [tokenizer.decode_target(best[0].tokens) == text for best, text in zip(found, texts, strict=True)]
    assert sum(right) >= 30  # all or all but one here; a random guess has none
    with pytest.raises(
        ConfigError, match=r"^the model reads frames of numbers, not text\. hint: search with `mt\.decode"
    ):
        translator.translate("eins")


def test_batches_of_frames_move_pad_and_part_as_those_of_text_do():
    pairs = number_pairs(5)
    ids = number_tokenizer().encode_target([pair.tgt for pair in pairs])
    source = Frames([frames_of(pair.tgt) for pair in pairs]).all
    batch = pack_batch(source, Flat.of(ids), range(5), bos=1, eos=2)
    assert isinstance(batch.source, FrameSource)
    assert isinstance(make_batch(ids, ids, range(5), bos=1, eos=2).source, TokenSource)
    first, second = batch.halves()
    together = torch.cat([first.source.rows, second.source.rows])
    assert torch.equal(together, batch.source.rows) and first.indices + second.indices == batch.indices
    filled = fill_to(batch, Shape(num_source_rows=100, num_target_rows=120, sentences=16, width=20))
    assert filled.source.rows.shape == (100, SIZE) and not filled.source.rows[batch.source.layout.num_rows :].any()
    assert fill_up(batch) is batch
    assert batch.to(torch.device("meta")).source.rows.is_meta
    packed = FrameSource.pack([frames_of(pair.tgt) for pair in pairs])
    assert torch.equal(packed.rows, batch.source.rows)
    assert torch.equal(packed.layout.lengths, batch.source.layout.lengths)
