"""Shapes in signatures are checked while testing; one thread, and random draws that are the same every time.

What is not installed is passed over: `tests/test_house.py` reads the source alone, and runs with nothing but pytest.
"""

from importlib.util import find_spec

import pytest

if find_spec("jaxtyping"):
    import jaxtyping

    # Before the first import of these rooms: their annotations become checks of every call.
    jaxtyping.install_import_hook(["mt.nn", "mt.losses", "mt.decode"], "beartype.beartype")

if find_spec("hypothesis"):
    import hypothesis

    hypothesis.settings.register_profile("house", derandomize=True, deadline=None, max_examples=30)
    hypothesis.settings.load_profile("house")

if find_spec("torch"):
    import torch

    torch.set_num_threads(1)

    @pytest.fixture(autouse=True)
    def seeded():
        """Every test starts from the same random numbers, whichever ran before it."""
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def small_model():
    """A function that makes a small Transformer in eval mode: `small_model(seed=1, positions="rotary")`."""
    import torch

    from mt.config import Activation, ModelConfig, NormKind, NormPlacement, Positions, Tying
    from mt.nn.encoders import text_model

    kinds = {
        "norm": NormPlacement,
        "norm_kind": NormKind,
        "positions": Positions,
        "activation": Activation,
        "tying": Tying,
    }
    small = {"dim": 16, "heads": 4, "ffn_dim": 24, "encoder_layers": 2, "decoder_layers": 2, "max_length": 64}

    def make(*, seed=0, src_size=19, tgt_size=19, **options):
        options = {name: kinds[name](value) if name in kinds else value for name, value in options.items()}
        torch.manual_seed(seed)
        model = text_model(ModelConfig(**{**small, **options}), src_size=src_size, tgt_size=tgt_size)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:  # norms and biases start at one and zero, which would hide their absence
                    parameter += 0.3 * torch.randn_like(parameter)
        return model.eval()

    return make
