"""What a tokenizer cannot write back in five languages, by the rule that normalises text.

    python scripts/tokenizer_losses.py

For each language a toy corpus: sentences written for this script, with the marks that the language is usually written
with (the zero-width non-joiner of Persian and Telugu, full-width punctuation and digits, Thai sara am). A tokenizer of
default settings is trained on each, once with SentencePiece's `nmt_nfkc` and once with mt's default `nfc`. Prints the
share of lines that encoding and decoding change, and the scores that a model could reach whose translations are perfect
but for that.
"""

import argparse
import tempfile
from itertools import product
from pathlib import Path

from mistakes import run_script

from mt.config import TokenizerConfig
from mt.text.roundtrip import round_trip
from mt.text.tokenizer_training import train_tokenizer

# Two lists of words fill the places of the sentences.
CORPORA = {
    "fa": (
        ["{0} کتاب‌های {1} را می‌خواند.", "خانه‌ی {1} بزرگ‌تر از خانه‌ی {0} است.", "{0} و {1} نمی‌آیند؟"],
        ["مریم", "رضا", "پدرم", "همسایه‌ها", "دانش‌آموز"],
        ["تازه", "دوستم", "مادربزرگ", "کتاب‌فروش", "برادرش"],
    ),
    "zh": (
        ["{0}在{1}，你呢？", "{0}说：“{1}很好！”", "从{1}到{0}家（２０公里），要三个小时。"],
        ["小王", "老师", "我妈妈", "那个学生", "邻居"],
        ["北京", "学校", "图书馆", "海边", "火车站"],
    ),
    "ja": (
        ["{0}は{1}へ行きました。", "「{1}は好きですか？」と{0}が聞いた。", "{0}の家は{1}から５分です（近い！）。"],
        ["田中さん", "先生", "母", "あの学生", "友だち"],
        ["東京", "学校", "図書館", "海", "駅"],
    ),
    "th": (
        ["{0}ดื่มน้ำที่{1}", "{0}ทำงานใกล้{1}ทุกวัน", "คำถามของ{0}เรื่อง{1}สำคัญมาก"],
        ["แม่", "ครู", "นักเรียน", "เพื่อนบ้าน", "สมชาย"],
        ["ตลาด", "โรงเรียน", "ห้องสมุด", "ทะเล", "สถานีรถไฟ"],
    ),
    "te": (
        ["{0} {1}లో పుస్తకం చదివాడు.", "{0} ఫైల్‌ను {1}‌కు పంపాడు.", "ఈ వెబ్‌సైట్‌లో {0}, {1} ఉన్నాయి."],
        ["రాము", "గురువు", "అన్నయ్య", "విద్యార్థి", "స్నేహితుడు"],
        ["బడి", "హైదరాబాద్", "గ్రంథాలయం", "ఆఫీస్", "స్టేషన్"],
    ),
}


def sentences(language: str) -> list[str]:
    patterns, *words = CORPORA[language]
    return [pattern.format(*some) for some in product(*words) for pattern in patterns]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print("      lines  rule         changed   best BLEU   best chrF++   for example")
    with tempfile.TemporaryDirectory() as folder:
        for language in CORPORA:
            lines = sentences(language)
            english = [f"Sentence {number}." for number in range(len(lines))]
            for rule in ("nmt_nfkc", "nfc"):
                section = TokenizerConfig(vocab_size="auto", normalization=rule)
                tokenizer = train_tokenizer(english, lines, section, Path(folder))

                def there_and_back(line: str, tokenizer=tokenizer) -> str:
                    return tokenizer.decode_target(tokenizer.encode_target([line])[0])

                found = round_trip(lines, there_and_back, language)
                share = f"{found.changed / found.lines:.0%}"
                example = found.examples[0] if found.examples else ""
                print(
                    f"{language:>4} {found.lines:>6}  {rule:<11} {share:>8} {found.bleu:>11.1f} {found.chrf:>13.1f}   "
                    f"{example}"
                )


if __name__ == "__main__":
    run_script(main)
