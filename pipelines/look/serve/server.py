"""The pages that answer, on a port of this machine until they are ended.

Run    `zsar serve`, `zsar serve --host 0.0.0.0 --port 80`
Takes  a root
Gives  pages (`app.py`) at an address that is told; films that are made for them lie in a temporary folder
"""

import contextlib
import errno
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import uvicorn

from pipelines.errors import UsageError
from pipelines.look.cache import Cache
from pipelines.look.serve.app import app
from pipelines.look.serve.settings import ServeConfig
from stores.root import Root

_PATIENCE_S = 2  # that a film which is being sent has, once the pages are to end


def serve(config: ServeConfig, root: Root, told: Callable[[str], None]) -> str:
    """Answer until Ctrl-C; gives the address that was answered at.

    Parameters
    ----------
    config : ServeConfig
    root : Root
    told : is given the address once pages are there

    Raises
    ------
    UsageError
        The root holds nothing, or the port or address cannot be had.
    """
    Cache(root)
    with contextlib.closing(_listening(config)) as listening, tempfile.TemporaryDirectory(prefix="zsar-serve-") as kept:
        host, port = listening.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        pages = app(root, config, Path(kept))
        settings = uvicorn.Config(
            pages,
            log_level="critical",  # `guards.py` tells of what goes wrong
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_PATIENCE_S,
        )
        server = uvicorn.Server(settings)
        told(url)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
    return url


def _listening(config: ServeConfig) -> socket.socket:
    """The port, which is this process's from now on."""
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(f"{config.host!r} is no address of this machine: give --host 127.0.0.1.") from error
    family, _, _, _, address = found[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise UsageError(_why_not(config, error)) from error
    return listening


def _why_not(config: ServeConfig, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {config.port} of {config.host} is taken, by another `zsar serve` or another program. "
            "Give another with --port, or --port 0 for any that is free."
        )
    if error.errno == errno.EACCES:
        return f"Port {config.port} is not given to every user: give one above 1023 with --port."
    where = f"{config.host}:{config.port}"
    return f"{where} cannot be listened on: {error.strerror}. Give --host 127.0.0.1, or another --port."
