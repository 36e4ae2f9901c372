#!/bin/sh
# Multi30k, English to German: train and score as fast as possible on this machine.
#
#     scripts/speedrun.sh                             fetches the text, trains, scores
#     scripts/speedrun.sh data.root=DIR train.steps=20     any setting of `mt train`
#
# Prints on stdout: the machine, the sacreBLEU line with its signature, whether the score reached 39, and the wall seconds
# from start to score, including reading the text and training the tokenizer. MT and PYTHON replace the programs `mt` and
# `python`. The run and its caches are in a temporary folder that is removed at the end.
set -eu
mt=${MT:-mt} python=${PYTHON:-python} goal=39
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A cache of its own, so that an earlier run does not save time. Settings of the command line override these.
started=$(date +%s.%N)
"$mt" train experiment=speedrun data.cache="$folder/cache" "$@" run.root="$folder/runs" run.name=speedrun >&2
ended=$(date +%s.%N)

"$python" - "$folder" "$started" "$ended" "$goal" <<'EOF'
import json
import sys
from pathlib import Path

folder, started, ended, goal = Path(sys.argv[1]), *map(float, sys.argv[2:])
run = folder / "runs" / "speedrun"
facts = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
(attempt,) = facts["attempts"]
scores = json.loads((run / "eval" / "test.json").read_text(encoding="utf-8"))["scores"]
bleu = next(score for score in scores if score["name"] == "BLEU")
reached = "was reached" if bleu["value"] >= goal else "was not reached"
gpu = f"one {attempt['gpu']}, " if attempt["gpu"] else ""
print(f"machine: {gpu}{attempt['cpus']} CPU cores, {attempt['system']}, torch {attempt['packages']['torch']}")
print(f"BLEU = {bleu['value']:.1f} ({bleu['signature']})")
print(f"seconds: {ended - started:.1f} from start to score; {goal:.0f} BLEU {reached}")
EOF
