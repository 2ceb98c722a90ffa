"""`zsar serve`: the cache as pages that answer."""

from typing import TYPE_CHECKING

from pipelines.command.base import command
from pipelines.command.screen import Shown, say
from pipelines.look.serve.settings import ServeConfig

if TYPE_CHECKING:
    from stores.root import Root


@command("serve", ServeConfig)
def serve(settings: ServeConfig, root: "Root") -> Shown:
    """Look at the cache in a browser: type a phrase, play the segments it finds. Ctrl-C ends it.

    Also a feature set in the plane, each point a clip; classes with their texts, clips and what they are taken for;
    runs, results and failures. Clips can be marked, labelled and taken out as a CSV. It only reads: nothing below the
    root is written, nothing is loaded from elsewhere. With --edit the marked ones are saved as a selection.

    zsar serve --root /data/cache --edit

    ZSAR_SERVE_PASSWORD=... zsar serve --host 0.0.0.0 --port 8000

    ssh -L 8710:127.0.0.1:8710 MACHINE zsar serve --root /data/cache

    Only this machine can ask, unless --host says otherwise. Then whoever reaches the port is asked for a password:
    yours, or one that stands in the address which is told. Nothing is encrypted on its way: the third line is, and
    shows a cache of another machine to yours alone.

    Of a feature set of millions run `zsar query` once before: it keeps the index that is made in memory here.

    JSON: url, when it has ended.
    """
    from pipelines.look.serve.server import serve

    def told(url: str) -> None:
        elsewhere = "; from elsewhere with this machine's name or address" if settings.host in ("0.0.0.0", "::") else ""
        say(f"Look at {url} (Ctrl-C ends it{elsewhere})")

    return Shown({"url": serve(settings, root, told)}, [])
