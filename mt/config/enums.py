"""Settings with a few named values. Members are spelt like their values."""

from enum import StrEnum


class TokenizerKind(StrEnum):
    unigram = "unigram"
    bpe = "bpe"


class SourceKind(StrEnum):
    """The kind of a model's source; not a setting, but follows from `data.inputs`."""

    text = "text"
    frames = "frames"  # rows of numbers from a program, not from a table
    inputs = "inputs"  # columns of a table, each of an `InputKind`


class InputKind(StrEnum):
    """What the cells of an input column are (`mt.inputs`)."""

    text = "text"
    features = "features"
    image = "image"
    audio = "audio"


class Fusion(StrEnum):
    """How a model joins several inputs (`mt.nn.fusion`)."""

    concat = "concat"  # an encoder for each; the memories lie end to end
    co_attention = "co_attention"  # two encoders whose layers attend to each other


class ImageStem(StrEnum):
    """What reads the pixels of an image (`mt.nn.stems`)."""

    linear = "linear"  # each patch by itself
    convolution = "convolution"  # the whole image, halved until a pixel is left of each patch


class Subset(StrEnum):
    """How a part of all lines is chosen."""

    spread = "spread"  # evenly spread
    first = "first"


class NormPlacement(StrEnum):
    pre = "pre"
    post = "post"


class NormKind(StrEnum):
    layernorm = "layernorm"
    rmsnorm = "rmsnorm"


class Positions(StrEnum):
    sinusoidal = "sinusoidal"
    learned = "learned"
    rotary = "rotary"


class Activation(StrEnum):
    relu = "relu"
    gelu = "gelu"
    silu = "silu"
    swiglu = "swiglu"
    geglu = "geglu"


class Tying(StrEnum):
    none = "none"
    decoder = "decoder"
    all = "all"


class OptimizerKind(StrEnum):
    adamw = "adamw"
    muon = "muon"  # for the matrices of linear layers; AdamW for all other weights


class ScheduleKind(StrEnum):
    constant = "constant"
    inverse_sqrt = "inverse_sqrt"
    cosine = "cosine"
    linear = "linear"
    wsd = "wsd"


class Precision(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"  # only for translation on a CPU: bf16, and the output layer in 8 bits


class Watch(StrEnum):
    loss = "loss"
    bleu = "bleu"
    chrf = "chrf"
    ter = "ter"  # error rates: lower is better
    wer = "wer"
    cer = "cer"
    rouge = "rouge"  # ROUGE-L
    exact = "exact"


class Sharding(StrEnum):
    none = "none"
    full = "full"


class Use(StrEnum):  # not on and off, which YAML reads as true and false
    auto = "auto"
    never = "never"
    always = "always"


class LengthNorm(StrEnum):
    average = "average"
    gnmt = "gnmt"
    none = "none"


class Unknown(StrEnum):
    keep = "keep"
    ban = "ban"


class Split(StrEnum):
    auto = "auto"
    never = "never"
    always = "always"
