"""Which models the check of int8 trains: every preset once, and the same random ones each time."""

from pathlib import Path

import check_int8

from mt.config import ModelConfig


def test_every_preset_and_the_same_random_models_are_trained():
    presets = {file.stem for file in Path(check_int8.ROOT, "configs/model").glob("*.yaml")}
    found = check_int8.shapes(20)
    assert set(found) == presets | {f"random_{number}" for number in range(1, 21)}
    assert check_int8.shapes(20) == found
    for options in found.values():
        made = ModelConfig(**{**check_int8.SIZES, **options})
        assert made.dim % made.heads == 0 and made.encoder_layers and made.decoder_layers


def test_a_preset_keeps_what_it_says_but_for_its_sizes():
    small, modern = (check_int8.shapes(0)[name] for name in ("small", "modern"))
    assert small == {"heads": 4, "encoder_layers": 3, "decoder_layers": 3, "dim": 128, "ffn_dim": 256}
    assert modern["positions"] == "rotary" and modern["activation"] == "swiglu" and modern["dim"] == 128


def test_only_deep_post_norm_has_a_lower_rate():
    rates = {name: check_int8.rate({**check_int8.SIZES, **options}) for name, options in check_int8.shapes(20).items()}
    assert "post" in {options.get("norm") for name, options in check_int8.shapes(20).items() if name != "marian"}
    assert rates.pop("marian") == 5e-4 and set(rates.values()) == {2e-3}
