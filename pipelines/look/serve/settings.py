"""Settings of the pages that answer."""

import dataclasses

from pipelines.errors import UsageError

_PORTS = range(1 << 16)


@dataclasses.dataclass(frozen=True)
class ServeConfig:
    """Settings of `zsar serve`.

    Attributes
    ----------
    host : address to listen on; 127.0.0.1 is this machine alone, 0.0.0.0 whoever reaches it
    port : port to listen on; 0: any that is free
    weights : `NAME=PATH` of an encoder whose weights are a file of your own
    device : `auto`, `cpu`, `cuda` or `cuda:N`
    """

    host: str = "127.0.0.1"
    port: int = 8710
    weights: tuple[str, ...] = ()
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.port not in _PORTS:
            raise UsageError(f"--port is from 0 to {_PORTS[-1]}, got {self.port}.")
