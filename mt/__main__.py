"""`python -m mt` is `mt`."""

from mt.cli.main import run_process

if __name__ == "__main__":
    run_process()
