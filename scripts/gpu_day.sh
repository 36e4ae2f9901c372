#!/bin/sh
# Everything that has to be shown on a GPU, as one command that leaves a report.
#
#     scripts/gpu_day.sh [FOLDER]            all parts, in this order; FOLDER (default: gpu_day) gets report.jsonl and logs
#     PARTS="rates decoding" scripts/gpu_day.sh     some of them
#     SMALL=1 DEVICE=cpu scripts/gpu_day.sh  the same with toy sizes, to test the script itself on a CPU
#
# Each part has a time limit and ends with a line of JSON in report.jsonl, so what was done before a cut stays. The lines,
# and what a part measures: scripts/gpu_day.py. DATA is the folder of corpora (default: data), with Multi30k in it: no
# network is needed. PYTHON replaces the program `python`; PATIENCE=5 gives five times as much
# time on a busy machine. The exit code is 1 if any part failed.
set -u
folder=${1:-gpu_day} python=${PYTHON:-python} here=$(dirname "$0") failed=0
mkdir -p "$folder"
export DEVICE="${DEVICE:-cuda}" DATA="${DATA:-data}" SMALL="${SMALL:-}"

part() { # NAME SECONDS
    case " ${PARTS:-$1} " in *" $1 "*) ;; *) return 0 ;; esac
    limit=$(($2 * ${PATIENCE:-1}))
    echo "$1, at most $limit seconds" >&2
    timeout -k 20 "$limit" "$python" "$here/gpu_day.py" "$1" "$folder" >>"$folder/report.jsonl" 2>"$folder/$1.log"
    code=$?
    test $code = 0 && return 0
    failed=1
    echo "{\"part\": \"$1\", \"ended\": false, \"exit_code\": $code, \"limit_seconds\": $limit}" >>"$folder/report.jsonl"
    tail -n 3 "$folder/$1.log" >&2
}

part doctor 120
part tests 300
part agreement 300
part precisions 240
part rates 420
part decoding 240
part memory 120
part speedrun 420
part resume 180
exit $failed
