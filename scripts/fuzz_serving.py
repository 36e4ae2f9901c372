"""Send `mt serve` what schemathesis derives from its own description; no answer may have a status of 500 or above.

    python scripts/fuzz_serving.py MODEL --examples 100

Needs the package schemathesis. Exit code 1, with the requests, when a check fails: an answer of status 500 or above, or
one that is not as `/openapi.json` describes it.
"""

import argparse
import shutil
import signal
import subprocess
import sys

from mistakes import run_script


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--examples", type=int, default=100, help="for each path (default: 100)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    tool = shutil.which("schemathesis")
    if tool is None:
        print("fuzz_serving.py: needs the package `schemathesis`", file=sys.stderr)
        return 2
    command = [sys.executable, "-m", "mt", "serve", args.model, "--port", "0", "--metrics", "--max-characters", "500"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        url = server.stdout.readline().strip()
        checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
        done = subprocess.run(
            [tool, "run", f"{url}/openapi.json", "--checks", checks, "--max-examples", str(args.examples),
             "--seed", str(args.seed), "--generation-deterministic", "--request-timeout", "60"], check=False,
        )  # fmt: skip
        alive = server.poll() is None
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(120)
    print(f"schemathesis: exit code {done.returncode}; server: {'alive' if alive else 'dead'}, exit code {code}")
    return int(done.returncode != 0 or not alive or code != 0)


if __name__ == "__main__":
    run_script(main)
