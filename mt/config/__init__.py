"""The settings: their sections and enums, and reading sections from plain JSON (`from_json.py`)."""

from mt.config.decode import LATER, DecodeConfig
from mt.config.enums import (
    Activation,
    Fusion,
    ImageStem,
    InputKind,
    LengthNorm,
    NormKind,
    NormPlacement,
    OptimizerKind,
    Positions,
    Precision,
    ScheduleKind,
    Sharding,
    SourceKind,
    Split,
    Subset,
    TokenizerKind,
    Tying,
    Unknown,
    Use,
    Watch,
)
from mt.config.inputs import Input, parse_inputs
from mt.config.model import ModelConfig
from mt.config.sections import (
    SPECIALS,
    AlignmentConfig,
    BatchConfig,
    CleanConfig,
    Config,
    DataConfig,
    InitConfig,
    LossConfig,
    OptimConfig,
    RunConfig,
    ScheduleConfig,
    TokenizerConfig,
    TrainConfig,
)
from mt.config.start import check_start

__all__ = [
    "LATER", "SPECIALS", "Activation", "AlignmentConfig", "BatchConfig", "CleanConfig", "Config",
    "DataConfig", "DecodeConfig", "Fusion", "ImageStem", "InitConfig", "Input", "InputKind", "LengthNorm", "LossConfig",
    "ModelConfig", "NormKind", "NormPlacement", "OptimConfig", "OptimizerKind", "Positions", "Precision", "RunConfig",
    "ScheduleConfig", "ScheduleKind", "Sharding", "SourceKind", "Split", "Subset", "TokenizerConfig", "TokenizerKind",
    "TrainConfig", "Tying", "Unknown", "Use", "Watch", "check_start", "parse_inputs",
]  # fmt: skip
