"""Whether a port of this machine is free; where it is not, who listens there, in one line and exit status 1.

Run    `python -m pipelines.command.port 4200`: `make prefect` asks before it starts or writes anything
"""

import contextlib
import json
import os
import socket
import sys
import urllib.request
from pathlib import Path

_LISTENS = "0A"  # the kernel's word for it in /proc/net/tcp


def taken(port: int) -> str:
    """What is to be said of a port that somebody listens on; nothing: it is free."""
    with socket.socket() as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that just ended does not hold it
        try:
            ours.bind(("127.0.0.1", port))
            return ""
        except OverflowError:
            return f"A port is a number from 1 to 65535, got {port}."
        except PermissionError:
            return f"Port {port} is the system's own. Give another with PREFECT_PORT=..."
        except OSError:
            pass
    who, what = _owner(port), "A Prefect server" if _is_prefect(port) else "A program that is no Prefect server"
    other = "Give another with PREFECT_PORT=..."
    if who == _name(os.getuid()) and what == "A Prefect server":
        api = f"http://127.0.0.1:{port}/api"
        return f"{what} of yours runs on port {port}; nothing was changed. Use it (PREFECT_API_URL={api}). {other}"
    return f"{what}{f' of the user {who}' if who else ''} has port {port}; nothing was changed. {other}"


def _is_prefect(port: int) -> bool:
    """Whether what listens answers as a Prefect server does."""
    url = f"http://127.0.0.1:{port}/api/admin/version"
    with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=3) as answer:
        return isinstance(json.loads(answer.read(100)), str)
    return False


def _owner(port: int) -> str:
    """The user whose program listens, where the kernel says it (Linux)."""
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                _, local, _, state, _, _, _, user, *_ = line.split()
                if state == _LISTENS and int(local.rpartition(":")[2], 16) == port:
                    return _name(int(user))
    return ""


def _name(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


if __name__ == "__main__":
    told = sys.argv[1] if len(sys.argv) > 1 else ""
    sys.exit(taken(int(told)) or 0 if told.isdecimal() else f"A port is a number from 1 to 65535, got {told!r}.")
