"""Settings of the pages that answer."""

import dataclasses
import ipaddress

from pipelines.errors import UsageError

_PORTS = range(1 << 16)
_LEAST = 8
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclasses.dataclass(frozen=True)
class ServeConfig:
    """Settings of `zsar serve`.

    Attributes
    ----------
    host : address to listen on; 127.0.0.1 is this machine alone, 0.0.0.0 whoever reaches it and has the password
    port : port to listen on; 0: any that is free
    password : asked of whoever looks; else $ZSAR_SERVE_PASSWORD, else a random one where others reach the port
    edit : let marked clips be saved as selections from the page; else nothing is written
    weights : `NAME=PATH` of an encoder whose weights are a file of your own
    device : `auto`, `cpu`, `cuda` or `cuda:N`
    """

    host: str = "127.0.0.1"
    port: int = 8710
    password: str = dataclasses.field(default="", repr=False)
    edit: bool = False
    weights: tuple[str, ...] = ()
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.port not in _PORTS:
            raise UsageError(f"--port is from 0 to {_PORTS[-1]}, got {self.port}.")
        if self.password and len(self.password) < _LEAST:
            raise UsageError(f"A password has at least {_LEAST} letters, this one has {len(self.password)}.")

    @property
    def is_open(self) -> bool:
        """Whether others than this machine can reach the port."""
        if self.host.lower() in LOOPBACK:
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return True
