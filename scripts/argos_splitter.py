"""Makes mt/interchange/splitter.onnx: the rules by which an exported package for Argos Translate splits sentences.

    pip install onnx && python scripts/argos_splitter.py

Argos Translate splits with MiniSBD, which fetches a network for each language unless the package has one inside. It
reads characters as numbers of a vocabulary and wants three scores for each character, of which the third means that a
sentence ends. Here these scores are rules, not learnt, and the same for all languages. A sentence ends with a mark (and
closing quotes or brackets) before a space, unless a small letter follows, or the mark is a full stop after an initial,
an ordinal number of one or two digits, or a common abbreviation. The marks of Chinese and Japanese need no space.
"""

import argparse
import json
import sys
import unicodedata
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper  # pyright: ignore[reportMissingImports]

OUT = Path(__file__).resolve().parents[1] / "mt/interchange/splitter.onnx"
STOP, MARKS, WIDE = ".", "!?…‽؟۔।॥։።", "。！？｡"
CLOSING = "\"'”’»)]}“›」』）】》"
ABBREVIATIONS = ["Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Hr", "Fr", "Nr", "Sr", "Sra", "Mme", "vs", "bzw", "vgl", "ca"]
SCRIPTS = [(0x41, 0x180), (0x370, 0x400), (0x400, 0x482), (0x531, 0x588)]  # with capitals: Latin to Armenian


class Rules:
    """A graph in the making. Values are float [B, N], 1 or 0 for each character; `name` of each is its output."""

    def __init__(self) -> None:
        self.nodes: list = []
        self.constants: dict = {}
        self.known: dict = {}
        letters = [chr(code) for first, last in SCRIPTS for code in range(first, last)]
        self.small = [one for one in letters if unicodedata.category(one) == "Ll"]
        self.capital = [one for one in letters if unicodedata.category(one) in {"Lu", "Lt"}]
        self.units = ["<PAD>", "<UNK>", "<EMPTY>", "<ROOT>", " ", STOP, *MARKS, *WIDE, *CLOSING, *"0123456789"]
        self.units += [*self.small, *self.capital]
        self.number = {unit: number for number, unit in enumerate(self.units)}

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        """The same operation on the same values is one node."""
        key = (kind, *inputs)
        if key not in self.known:
            self.known[key] = f"v{len(self.nodes)}"
            self.nodes.append(helper.make_node(kind, list(inputs), [self.known[key]], **attributes))
        return self.known[key]

    def constant(self, name: str, value: object, dtype: type) -> str:
        self.constants[name] = numpy_helper.from_array(np.array(value, dtype=dtype), name)
        return name

    def one_of(self, name: str, units: list[str] | str) -> str:
        table = [float(unit in set(units)) for unit in self.units]
        return self.op("Gather", self.constant(name, table, np.float32), "units")

    def moved(self, value: str, by: int, rest: float = 0.0) -> str:
        """The value of the character `by` places further on; `rest` beyond the ends."""
        pads = [0, 0, 0, by] if by > 0 else [0, -by, 0, 0]
        beyond = self.constant(f"rest{rest}", rest, np.float32)
        padded = self.op("Pad", value, self.constant(f"pads{by}", pads, np.int64), beyond)
        first, last = (by, 1 << 30) if by > 0 else (0, by)
        places = (self.constant(f"{what}{by}", [place], np.int64) for what, place in (("from", first), ("to", last)))
        return self.op("Slice", padded, *places, self.constant("axis", [1], np.int64))

    def both(self, *values: str) -> str:
        found, *rest = values
        for value in rest:
            found = self.op("Mul", found, value)
        return found

    def either(self, *values: str) -> str:
        return self.op("Max", *values)

    def no(self, value: str) -> str:
        return self.op("Sub", self.constant("one", 1.0, np.float32), value)

    def spelt(self, word: str) -> str:
        """Whether the characters before this one are this word, after no letter."""
        is_letter = self.one_of("letters", self.small + self.capital)
        signs = [self.op("Equal", "units", self.constant(f"id{sign}", self.number[sign], np.int64)) for sign in word]
        spelt = [
            self.moved(self.op("Cast", sign, to=TensorProto.FLOAT), place - len(word))
            for place, sign in enumerate(signs)
        ]
        return self.both(*spelt, self.no(self.moved(is_letter, -len(word) - 1)))


def build() -> ModelProto:
    r = Rules()
    stop, space, closing = r.one_of("stop", STOP), r.one_of("space", [" ", "<PAD>"]), r.one_of("closing", CLOSING)
    digit, capital, small = (
        r.one_of("digits", "0123456789"),
        r.one_of("capitals", r.capital),
        r.one_of("small", r.small),
    )
    free = [r.moved(r.either(space, stop), -places, 1.0) for places in (2, 3)]  # no word is there
    one, two = r.moved(digit, -1), r.moved(digit, -2)
    no_end = r.either(
        r.both(r.moved(capital, -1), free[0]), r.both(one, free[0]), r.both(one, two, free[1]),
        *(r.spelt(word) for word in ABBREVIATIONS),
    )  # fmt: skip
    wide = r.one_of("wide", WIDE)
    marks = r.either(r.both(stop, r.no(no_end)), r.one_of("marks", MARKS))
    closed = r.both(closing, r.moved(marks, -1))
    closed_twice = r.both(closing, r.moved(closed, -1))
    before_space = r.both(r.moved(space, 1, 1.0), r.no(r.moved(small, 2)))
    narrow_end = r.both(r.either(marks, closed, closed_twice), before_space)
    wide_closed = r.both(closing, r.moved(wide, -1))
    wide_end = r.both(r.either(wide, wide_closed), r.no(r.moved(r.either(wide, closing), 1)))
    ends = r.either(narrow_end, wide_end)
    last = r.constant("last", [2], np.int64)
    never = r.op("Mul", ends, r.constant("none", 0.0, np.float32))
    scores = (r.op("Add", never, r.constant("half", 0.5, np.float32)), never, ends)
    parts = [r.op("Unsqueeze", value, last) for value in scores]
    r.nodes.append(helper.make_node("Concat", parts, ["logits"], axis=2))
    inputs = [
        helper.make_tensor_value_info("units", TensorProto.INT64, ["B", "N"]),
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["B", "N", "F"]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", "N", 3])]
    graph = helper.make_graph(r.nodes, "sentences", inputs, outputs, [*r.constants.values()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="mt")
    config = {
        "feat_funcs": ["end_of_para"], "batch_size": 1, "max_seqlen": 1000, "skip_newline": False, "no_ssplit": False,
        "use_dictionary": False, "num_dict_feat": 0,
    }  # fmt: skip
    vocab = {"lang": "", "idx": 0, "cutoff": 0, "lower": False, "_unit2id": r.number, "_id2unit": r.units}
    helper.set_model_props(
        model,
        {
            "lang_code": "rules",
            "config": json.dumps(config),
            "vocab": json.dumps(vocab, ensure_ascii=False),
            "lexicon": "null",
        },
    )
    checker.check_model(model)
    return model


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    data = build().SerializeToString()
    OUT.write_bytes(data)
    print(f"{OUT}: {len(data):,} bytes", file=sys.stderr)
