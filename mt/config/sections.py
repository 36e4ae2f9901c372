"""The settings: one dataclass for each section, checked in its constructor. YAML files and overrides only set values.

No section depends on another; conditions between sections are checked in `build.py`, what only a fresh start refuses in
`start.py`. Enum members are spelt like their values, so that a name in a YAML file is the value in a saved
`config.json`.
"""

import re
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from mt.config.decode import BELOW_1, COUNT, FROM_0, FROM_1, LATER, POSITIVE, SHARE, DecodeConfig, bounded, check_bounds
from mt.config.enums import OptimizerKind, Precision, ScheduleKind, Sharding, Subset, TokenizerKind, Use, Watch
from mt.config.inputs import parse_inputs
from mt.config.model import ModelConfig
from mt.errors import require

SPECIALS = ("<unk>", "<s>", "</s>", "<pad>")  # pieces 0 to 3 of every tokenizer trained here
NORMALIZATIONS = ("nfc", "nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf", "identity")


@dataclass(kw_only=True, slots=True)
class DataConfig:
    """The text: a corpus of the catalogue, or the user's own files (`train`, `dev`, `test`)."""

    corpus: str | None = "tatoeba_en_es"  # a name in the catalogue; ignored if `train` is given
    src: str | None = None  # language or column to translate from; null: from the corpus or the file names
    tgt: str | None = None
    train: list[str] = field(default_factory=list)  # [a.en, a.de] or [pairs.tsv] or [pairs.jsonl] or [hub:owner/name]
    dev: list[str] = field(default_factory=list)  # empty: held out from train; the catalogue has its own
    test: list[str] = field(default_factory=list)  # empty: none; the catalogue has its own
    # names or numbers (from 1) of the columns with source and target, in files of more: [en,de] or [2,4]
    columns: list[str] = field(default_factory=list, metadata=LATER)
    # columns with kinds, not only text: [x:features], [x:image], [x:audio]; files are then tables (docs/sources.md)
    inputs: list[str] = field(default_factory=list, metadata=LATER)
    target: str | None = field(default=None, metadata=LATER)  # column of the target text beside `inputs`; null: `tgt`
    limit: int | None = None  # largest number of training pairs
    # the lines that `limit` and `train.validate_pairs` select: evenly spread, or the first
    subset: Subset = field(default=Subset.spread, metadata=LATER | {"before": Subset.first})
    # share of pairs of text that training shows in capitals, in small letters or without the final mark
    augment: float = field(default=0.0, metadata=LATER)
    root: str = "data"  # folder of downloaded corpora
    cache: str = "data/cache"  # trained tokenizers and tokenised text, by a hash of text and settings
    # processes that make batches ahead, 0: none; null: on a GPU 2, or more with sampling; on a CPU 1 with sampling
    workers: int | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        for name in ("train", "dev", "test", "columns", "inputs"):
            _require_list(f"data.{name}", getattr(self, name))
        fits = len(self.columns) in (0, 2)
        require(fits, "data.columns", "name the two columns of source and target", self.columns)
        require(self.limit is None or self.limit > 0, "data.limit", "be a positive number or null", self.limit)
        require(0 <= (self.workers or 0) <= 64, "data.workers", "lie in [0, 64] or be null", self.workers)
        require(0 <= self.augment <= 1, "data.augment", "lie in [0, 1]", self.augment)
        parse_inputs(self.inputs)
        if self.inputs:
            for name in ("train", "dev"):
                files = getattr(self, name)
                require(bool(files), f"data.{name}", "name tables beside `data.inputs`", files)
            hint = "name the column of the target text with `data.target`."
            require(not self.columns, "data.columns", "be empty beside `data.inputs`", self.columns, hint=hint)
            found = self.target or self.tgt
            require(bool(found), "data.target", "name the column of the target text beside `data.inputs`", found)
        if not self.train:
            require(bool(self.corpus), "data.train", "name files when `data.corpus` is null", self.train)


@dataclass(kw_only=True, slots=True)
class CleanConfig:
    """Rules that remove training pairs. Removed pairs are counted and reported; dev and test are not cleaned."""

    max_chars: int = bounded(1000, COUNT)
    max_ratio: float = bounded(9.0, FROM_1)  # characters of the longer side over the shorter, each plus 10
    drop_copies: bool = False
    drop_duplicates: bool = False

    def __post_init__(self) -> None:
        check_bounds(self, "clean")


@dataclass(kw_only=True, slots=True)
class TokenizerConfig:
    """How text becomes pieces (SentencePiece)."""

    kind: TokenizerKind = TokenizerKind.unigram
    vocab_size: int | str = 6000  # auto: by the number of training pairs
    joint: bool = True  # one model for both languages; false: one for each, of `vocab_size` pieces each
    character_coverage: float = 1.0
    byte_fallback: bool = True  # a character unseen in training becomes its bytes, not <unk>
    # nfc: only spaces, control characters, composed letters (mt/text/normalization.py); others: SentencePiece's rules
    normalization: str = field(default="nfc", metadata={"before": "nmt_nfkc"})
    split_digits: bool = field(default=False, metadata=LATER)  # every digit is a separate piece
    sampling: float = 0.0  # in training: BPE-dropout probability, or unigram sampling (higher: more varied)
    tags: list[str] = field(default_factory=list)  # user-defined pieces that are never split, e.g. "<2de>"
    max_sentences: int = 1_000_000  # lines (of both sides together) to train SentencePiece on

    def __post_init__(self) -> None:
        _require_list("tokenizer.tags", self.tags)
        size = self.vocab_size
        fits = size == "auto" or (isinstance(size, int) and 8 <= size <= 1_000_000)
        require(fits, "tokenizer.vocab_size", "lie in [8, 1000000] or be auto", size)
        coverage = self.character_coverage
        require(0.98 <= coverage <= 1, "tokenizer.character_coverage", "lie in [0.98, 1]", coverage)
        require(0 <= self.sampling <= 1, "tokenizer.sampling", "lie in [0, 1]", self.sampling)
        for tag in self.tags:
            whole = bool(tag) and not re.search(r"[\s▁]", tag) and self.tags.count(tag) == 1
            special = tag in SPECIALS or re.fullmatch("<0x[0-9A-F]{2}>", tag)
            must = "be distinct marks without spaces, none of them special or a byte"
            require(whole and not special, "tokenizer.tags", must, repr(tag))
        known, must = self.normalization in NORMALIZATIONS, f"be one of {', '.join(NORMALIZATIONS)}"
        require(known, "tokenizer.normalization", must, self.normalization)


@dataclass(kw_only=True, slots=True)
class BatchConfig:
    """The size of batches and updates."""

    # most target tokens of a batch, end marks included, and most source tokens; auto: as many as fit in memory
    tokens: int | str = 2048
    accumulate: int = 1  # batches per update
    max_length: int = 256  # training pairs with more pieces on a side are left out and counted
    pool: int = 16384  # pairs that are sorted by length together

    def __post_init__(self) -> None:
        require(self.accumulate > 0, "batch.accumulate", "be positive", self.accumulate)
        require(self.max_length > 1, "batch.max_length", "be at least 2", self.max_length)
        number = isinstance(self.tokens, int)
        require(number or self.tokens == "auto", "batch.tokens", "be a whole number or auto", self.tokens or "empty")
        fits = not number or self.budget >= self.max_length
        require(fits, "batch.tokens", f"be at least `batch.max_length` ({self.max_length})", self.tokens)
        require(self.pool > 0, "batch.pool", "be positive", self.pool)

    @property
    def budget(self) -> int:
        """`tokens`, which must be a number."""
        assert isinstance(self.tokens, int), "build.py replaces auto by a number"
        return self.tokens


@dataclass(kw_only=True, slots=True)
class LossConfig:
    label_smoothing: float = bounded(0.1, BELOW_1)
    ctc: float = bounded(0.0, FROM_0, **LATER)  # for speech: weight of a CTC loss that helps the encoder; 0: none
    ctc_tag: str | None = field(default=None, metadata=LATER)  # only for targets that begin with it; null: for all
    # weight of the difference of two readings of each pair, the second without one of several inputs; 0: one reading
    consistency: float = bounded(0.0, FROM_0, **LATER)

    def __post_init__(self) -> None:
        check_bounds(self, "loss")


@dataclass(kw_only=True, slots=True)
class AlignmentConfig:
    """Guided alignment: a loss trains one head of the decoder's cross-attention to follow word links."""

    links: list[str] = field(default_factory=list)  # Pharaoh files: one for each corpus of `data.train`, line by line
    # of this loss relative to the translation loss, both sums over target tokens; 0: off
    weight: float = bounded(0.1, FROM_0)
    layer: int | None = bounded(None, COUNT)  # of the decoder, counted from 1; null: the second last
    head: int = bounded(1, COUNT)  # of that layer, counted from 1

    def __post_init__(self) -> None:
        _require_list("alignment.links", self.links)
        check_bounds(self, "alignment")


@dataclass(kw_only=True, slots=True)
class OptimConfig:
    name: OptimizerKind = field(default=OptimizerKind.muon, metadata={"before": OptimizerKind.adamw})
    lr: float = bounded(3e-3, POSITIVE)  # the peak, reached at the end of the warm-up
    # the rate of embeddings, relative to `lr`; null: 2.5 with Muon, 1 with AdamW
    embedding_lr_ratio: float | None = bounded(None, POSITIVE, before=1.0)
    beta1: float = bounded(0.9, BELOW_1)
    beta2: float = bounded(0.98, BELOW_1)
    eps: float = bounded(1e-9, POSITIVE)
    momentum: float = bounded(0.9, BELOW_1, before=0.95)  # of Muon
    weight_decay: float = bounded(0.0, FROM_0)
    clip_norm: float = bounded(1.0, FROM_0)  # 0: no clipping

    def __post_init__(self) -> None:
        check_bounds(self, "optim")


@dataclass(kw_only=True, slots=True)
class ScheduleConfig:
    """The learning rate over time. `cosine`, `linear` and `wsd` depend on the end of the run."""

    name: ScheduleKind = ScheduleKind.linear
    warmup_steps: int = bounded(50, FROM_0, before=300)  # Muon needs few, AdamW more
    decay_share: float = bounded(0.2, SHARE)  # wsd: the last share of the run over which the rate falls
    final_ratio: float = bounded(0.0, SHARE)  # cosine, linear, wsd: the rate at the end, as a share of the peak

    def __post_init__(self) -> None:
        check_bounds(self, "schedule")


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    """Limits, intervals, device and precision. The run ends at the first limit that is reached."""

    seed: int = 1
    steps: int | None = None
    # auto: 20, or as many as 200 updates take, if that is more
    epochs: int | float | str | None = None
    minutes: float | None = None
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps; with torchrun `cuda` is one GPU for each process
    # auto: bf16 if the device computes it fast, else fp32
    precision: Precision = field(default=Precision.auto, metadata={"not": (Precision.int8,)})
    threads: int | None = None  # CPU threads of a process; null: all cores
    log_every: int = 20  # steps between two lines of metrics.jsonl
    save_minutes: float | None = 10.0  # minutes between checkpoints; null: only at validations
    # steps between two validations, each of which saves a checkpoint; auto: as many as an epoch has, from 5 to 800
    validate_every: int | str = 800
    validate_pairs: int = 500  # dev sentences translated at a validation (the loss uses all)
    attention_pairs: int | None = 3  # dev pairs whose cross-attention TensorBoard shows at validations, null: none
    watch: Watch = Watch.bleu  # the dev score that decides which checkpoint is best
    patience: int | None = None  # stop after so many validations without a new best score
    average: int = 1  # the final model is the mean of so many best checkpoints, if that is better on dev
    keep: int = 3  # checkpoints to keep: the best, and always the latest
    ema: float = 0.0  # decay of the moving average of weights, 0: none; validation and the model folder use it
    # with several processes (torchrun); none: each holds the model; full: each holds a part, for very large models
    sharding: Sharding = Sharding.none
    # experimental, not yet run on a GPU (docs/GPU.md)
    compile: Use = Use.never  # torch.compile of layers; auto: on CUDA, for runs that are long enough
    graphs: Use = Use.never  # CUDA graphs of updates; auto: for small models in 16 bits
    # a loss so many standard deviations above the previous ones is a spike: its lines are logged, and the run returns
    # to the last checkpoint with a score and skips that text; 0: never
    spike_sigmas: float = 0.0
    timeout_minutes: float = 10.0  # the run ends when a process does not respond for so long

    def __post_init__(self) -> None:
        some = any(limit is not None for limit in (self.steps, self.epochs, self.minutes, self.patience))
        require(some, "train.steps", "be given, or `train.epochs`, `train.minutes` or `train.patience`", None)
        epochs = self.epochs
        fits = epochs in (None, "auto") or (not isinstance(epochs, str) and epochs > 0)
        require(fits, "train.epochs", "be positive, auto or null", epochs)
        for name in ("steps", "minutes", "threads", "patience", "attention_pairs", "save_minutes"):
            value = getattr(self, name)
            require(value is None or value > 0, f"train.{name}", "be positive or null", value)
        fit = [one for one in Precision if one is not Precision.int8]
        require(self.precision in fit, "train.precision", f"be one of {', '.join(fit)}", str(self.precision))
        require(0 <= self.seed < 2**63, "train.seed", "lie in [0, 2**63)", self.seed)
        require((self.threads or 1) <= 1024, "train.threads", "be at most 1024", self.threads)
        every = self.validate_every
        fits = every == "auto" or (isinstance(every, int) and every > 0)
        require(fits, "train.validate_every", "be a positive whole number or auto", every or repr(every))
        for name in ("log_every", "validate_pairs", "average", "keep", "timeout_minutes"):
            require(getattr(self, name) > 0, f"train.{name}", "be positive", getattr(self, name))
        require(self.average <= self.keep, "train.average", f"be at most `train.keep` ({self.keep})", self.average)
        require(0 <= self.ema < 1, "train.ema", "lie in [0, 1)", self.ema)
        require(self.spike_sigmas >= 0, "train.spike_sigmas", "not be negative", self.spike_sigmas)

    @property
    def most_epochs(self) -> float | None:
        """`epochs`, which must be a number or null."""
        assert not isinstance(self.epochs, str), "build.py replaces auto by a number"
        return self.epochs

    @property
    def interval(self) -> int:
        """`validate_every`, which must be a number."""
        assert isinstance(self.validate_every, int), "build.py replaces auto by a number"
        return self.validate_every


@dataclass(kw_only=True, slots=True)
class InitConfig:
    """Where the weights come from. `init=MODEL` on the command line sets more than this: `mt/train/origin.py`."""

    path: str | None = None  # the run, checkpoint or model folder that training goes on from; null: begin from nothing

    def __post_init__(self) -> None:
        require(self.path != "", "init", "name a run or a model folder", "empty")


@dataclass(kw_only=True, slots=True)
class RunConfig:
    """The folder of a run."""

    root: str = "runs"
    name: str | None = None  # null: made from the names of the data and the model
    dry_run: bool = False  # show what would happen, without training

    def __post_init__(self) -> None:
        plain = self.name is None or (self.name not in (".", "..") and not re.search(r"[/\\\x00-\x1f]", self.name))
        require(plain, "run.name", "be the name of one folder, without / or \\", self.name)


@dataclass(kw_only=True, slots=True)
class Config:
    """All settings. Only `build.py` and the commands see them."""

    run: RunConfig = field(default_factory=RunConfig)
    init: InitConfig = field(default_factory=InitConfig)
    data: DataConfig = field(default_factory=DataConfig)
    clean: CleanConfig = field(default_factory=CleanConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    train: TrainConfig = field(default_factory=lambda: TrainConfig(minutes=8))
    decode: DecodeConfig = field(default_factory=DecodeConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, section by section."""
        return asdict(self, dict_factory=_json)


def _require_list(key: str, value: object) -> None:
    """A Python caller's string would be taken for a list of its characters."""
    require(not isinstance(value, str), key, "be a list of strings", value, hint=f'write `["{value}"]`.')


def _json(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value.value if isinstance(value, StrEnum) else value for name, value in items}
