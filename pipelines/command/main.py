"""The command `zsar`: options in, the stages' functions called, a table or one JSON line out.

Every command takes `--root DIR` (default `$ZSAR_ROOT`, else `./zsar-data`) and `--json`: then the last line of stdout
is one JSON object. A user's mistake ends in one line on stderr (with `--json` also `{"error": ...}`) and exit status 1,
an option that does not exist in exit status 2; Ctrl-C commits what was handed over and exits with 130.
"""

import signal
from typing import NoReturn

# each registers its commands, in the order of `zsar --help`
# isort: off
from pipelines.command import (  # noqa: F401
    practice,
    index,
    extract,
    learn,
    judge,
    look,
    ask,
    audit,
    serve,
    features,
    texts,
    run,
    classify,
)

# isort: on
from pipelines.command.base import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point: a termination is treated like Ctrl-C, so that what was computed is committed."""
    signal.signal(signal.SIGTERM, _terminated)
    app()


def _terminated(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
