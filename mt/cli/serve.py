"""`mt serve`: models behind LibreTranslate's interface, and a page for the browser."""

import argparse
import logging
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mt.cli.engine_options import add_engine_options, check_engine_options, load_model
from mt.cli.options import Parser, add_device_options, number, positive_int
from mt.config.decode import COUNT, FROM_0, Bound
from mt.errors import ConfigError, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mt.serve.served import Served

logger = logging.getLogger("mt.serve")
T = TypeVar("T")
TOKENS = number(int, COUNT.up_to(10_000_000))  # as `decode.batch_tokens`
TIME = number(float, FROM_0.up_to(1_000_000))  # the clocks that wait end far above
COUNT_OR_0 = number(int, Bound(lambda n: n >= 0, "", "a whole number, 0 for no limit"))
PORT = number(int, Bound(lambda n: 0 <= n < 1 << 16, "", "a port from 0 to 65535 (0: any that is free)"))
ORIGIN = re.compile(r"|\*|null|[a-z][a-z\d+.-]*://[^\s/?#@,]+")
PACKAGES = {"fastapi": "fastapi", "uvicorn": "uvicorn", "python_multipart": "python-multipart"}  # by module


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mt serve",
        description="Translate over HTTP, with LibreTranslate's interface and a page for the browser. The address is "
        "printed when requests are accepted. Ctrl-C or SIGTERM ends the server after the requests that it has.",
        epilog="example:  mt serve runs/en-de runs/de-en --port 5000",
    )
    parser.add_argument(
        "models", nargs="+", type=Path, metavar="MODEL", help="model folder, run or checkpoint, one for each direction"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0: all (default: 127.0.0.1)")
    parser.add_argument("--port", type=PORT, default=5000, help="0: any that is free (default: 5000)")
    add_device_options(parser)
    add_engine_options(parser)
    parser.add_argument("--metrics", action="store_true", help="counts in Prometheus' format at /metrics")
    parser.add_argument(
        "--cors", type=origin, metavar="ORIGIN", default="",
        help="pages of this origin may use the server from a browser; *: all (default: only the server's own)",
    )  # fmt: skip
    clients = parser.add_argument_group("clients")
    clients.add_argument("--api-keys", type=Path, metavar="FILE", help="requests need one of these keys, one a line")
    clients.add_argument(
        "--rate", type=COUNT_OR_0, default=0, metavar="N",
        help="requests a minute of one key, or without keys of one address; 0: no limit (default: 0)",
    )  # fmt: skip
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-characters", type=COUNT_OR_0, default=100_000, metavar="N",
        help="of all texts of a request; 0: no limit (default: 100000)",
    )  # fmt: skip
    limits.add_argument(
        "--max-texts", type=COUNT_OR_0, default=1000, metavar="N", help="of a request; 0: no limit (default: 1000)"
    )
    limits.add_argument("--max-body", type=positive_int, default=4, metavar="MIB", help="of a request (default: 4)")
    limits.add_argument(
        "--timeout", type=TIME, default=60.0, metavar="SECONDS",
        help="for a translation; 0: no limit (default: 60)",
    )  # fmt: skip
    limits.add_argument(
        "--queue", type=positive_int, default=512, metavar="N",
        help="requests that may wait; more are told to come back (default: 512)",
    )  # fmt: skip
    batches = parser.add_argument_group("batches, of the sentences of all clients")
    batches.add_argument(
        "--batch-tokens", type=TOKENS, default=1024, metavar="N",
        help="source pieces translated together: with more the server translates more, but each waits longer (default: "
        "1024)",
    )  # fmt: skip
    batches.add_argument(
        "--batch-wait", type=TIME, default=3.0, metavar="MS",
        help="milliseconds that a request waits for others to join it (default: 3)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    check_engine_options(parser, args)
    return args


def origin(text: str) -> str:
    """As browsers write it, since a page is refused whose origin differs in one character."""
    if ORIGIN.fullmatch(text.lower()):
        return text.lower()
    raise argparse.ArgumentTypeError(f"must be an origin without a path, such as https://example.org, or *: {text}")


def run(argv: list[str]) -> int:
    args = parse(argv)
    check_packages()
    from mt.serve.keys import Keys, Rate
    from mt.serve.server import address_of, bind
    from mt.serve.server import run as serve

    keys = Keys.read(args.api_keys) if args.api_keys else None
    bound = bind(args.host, args.port)  # a port that is taken is told before models are loaded
    with bound:
        from mt.compute.device import set_up_cpu
        from mt.log import setup
        from mt.serve.app import Service, make_app
        from mt.serve.engine import Engine
        from mt.serve.limits import Batching, Limits
        from mt.serve.metrics import Metrics
        from mt.serve.served import Directory

        setup()
        set_up_cpu(None)
        limits = Limits(
            characters=args.max_characters, texts=args.max_texts, body=args.max_body << 20, queue=args.queue,
            timeout=args.timeout, rate=args.rate,
        )  # fmt: skip
        directory = in_a_thread(lambda: Directory.load(args.models, partial(load_model, args)))
        batching = Batching(tokens=args.batch_tokens, wait=args.batch_wait / 1000)
        engine = Engine([one.translator for one in directory.models], batching=batching, queue=limits.queue)
        service = Service(directory, engine, limits, keys, Rate(limits.rate), Metrics())
        keep_texts_out_of_the_log()
        log_start(directory.models, args, keys is not None)
        ready = partial(print, address_of(bound), flush=True)
        serve(make_app(service, cors=args.cors, metrics=args.metrics), bound, ready=ready, grace=args.timeout or 60)
    return 0


def in_a_thread(work: Callable[[], T]) -> T:
    """The result of work in a thread that ends with it.

    GNU's OpenMP keeps a team of threads for each thread that has used torch. With the team of the thread that loads and
    that of the engine's thread there are more than processors; OpenMP then lets none of them spin, and each operation
    waits for the system to wake a thread (docs/LOG.md, 2026-11-28: 109 requests a second instead of 187).
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def check_packages() -> None:
    """Raises: ConfigError: when a package of the extra `serve` is not installed."""
    missing = [name for module, name in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise ConfigError(
            f"`mt serve` needs {counted(len(missing), 'more package')} ({', '.join(missing)}).",
            hint="install them with `pip install fastapi uvicorn python-multipart`.",
        )


def keep_texts_out_of_the_log() -> None:
    """Warnings of a translator quote its input, which is the clients' own; messages of the server do not."""
    logging.getLogger("mt").setLevel(logging.ERROR)
    logger.setLevel(logging.INFO)


def log_start(models: "Sequence[Served]", args: argparse.Namespace, has_keys: bool) -> None:
    for one in models:
        logger.info(f"{one.src}-{one.tgt}: {one.path}")
    if not has_keys and not is_loopback(args.host):
        logger.warning(f"anyone who reaches {args.host} may translate; --api-keys FILE asks for a key")
    if sys.stderr.isatty():
        logger.info("press Ctrl-C to stop")


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
