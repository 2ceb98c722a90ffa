"""The pages that answer, on a port of this machine until they are ended.

Run    `zsar serve`, `zsar serve --edit`, `zsar serve --host 0.0.0.0 --port 80`
Takes  a root
Gives  pages (`app.py`) at an address that is told; films that are made for them lie in a temporary folder
"""

import contextlib
import dataclasses
import errno
import os
import secrets
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import uvicorn

from pipelines.errors import UsageError
from pipelines.look.cache import Cache
from pipelines.look.serve.access import TOKEN
from pipelines.look.serve.app import app
from pipelines.look.serve.settings import ServeConfig
from stores.root import Root

PASSWORD = "ZSAR_SERVE_PASSWORD"
_PATIENCE_S = 2  # that a film which is being sent has, once the pages are to end


def serve(config: ServeConfig, root: Root, told: Callable[[str], None]) -> str:
    """Answer until Ctrl-C; gives the address that was answered at.

    Where others reach the port, whoever looks is asked for a password: the one that was set, else one made here, which
    is told as a part of the address.

    Parameters
    ----------
    config : ServeConfig
    root : Root
    told : is given the address once pages are there

    Raises
    ------
    UsageError
        The root holds nothing, the port or address cannot be had, or the password is too short.
    """
    Cache(root)
    config, made = _with_password(config)
    with contextlib.closing(_listening(config)) as listening, tempfile.TemporaryDirectory(prefix="zsar-serve-") as kept:
        host, port = listening.getsockname()[:2]
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
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
        told(f"{url}?{TOKEN}={made}" if made else url)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
    return url


def _with_password(config: ServeConfig) -> tuple[ServeConfig, str]:
    """The settings with a password where one is asked for, and that password where it was made here."""
    if given := config.password or os.environ.get(PASSWORD, ""):
        return dataclasses.replace(config, password=given), ""
    made = secrets.token_urlsafe(24) if config.is_open else ""
    return dataclasses.replace(config, password=made), made


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
        listening.listen()  # who follows the address at once waits for the pages and is not turned away
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
