"""The comparison of two sources with one gives each model the settings that it can have."""

import json
from pathlib import Path

import multi30k_tables


def test_settings_of_several_inputs_are_left_out_where_there_is_one(tmp_path, monkeypatch, capsys):
    calls: list[list[str]] = []

    def mt(*args: str) -> str:
        calls.append(list(args))
        if args[0] == "evaluate":
            return json.dumps({"scores": [{"name": "BLEU", "value": 12.345, "signature": "s"}]})
        return "sentence\tpiece\ten\tfr\nall\tmean\t0.6\t0.4\n"

    monkeypatch.setattr(multi30k_tables, "mt", mt)
    more = ["model.source_dropout=0.1", "model.fusion=co_attention", "train.steps=2000", "loss.consistency=1"]
    multi30k_tables.compare(Path("data/multi30k_en_fr"), [3], tmp_path, more)
    one, two = ([arg.partition("=")[::2] for arg in call] for call in calls if call[0] == "train")
    assert ("model.source_dropout", "0") in one and ("model.source_dropout", "0.1") not in one
    assert dict(one)["loss.consistency"] == "0" and dict(two)["loss.consistency"] == "1"
    assert "model.fusion" not in dict(one) and dict(one)["train.steps"] == "2000"
    assert dict(two) | {"model.source_dropout": "0.1", "model.fusion": "co_attention"} == dict(two)
    assert [dict(call)["train.seed"] for call in (one, two)] == ["3", "3"]
    told = capsys.readouterr().out.splitlines()
    assert (
        len(told) == 6
        and told[-1] == "multi30k_en_fr_de.3  shares of cross-attention: sentence piece en fr / all mean 0.6 0.4"
    )
