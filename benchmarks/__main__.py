"""`python -m benchmarks [NAME ...]`: one line a bar; exit status 1 where one falls short."""

import importlib
import sys

BENCHMARKS = (
    *(
        "decode",
        "pipeline",
        "store",
        "forward",
        "cuda",
        "cuda_training",
        "text",
        "heads",
        "poses",
        "classify",
        "start",
        "training",
        "proxies",
        "layers_above",
        "search",
        "serve",
        "audit",
        "scale",
        "torture",
    ),
)


def main(names: tuple[str, ...]) -> int:
    """Run benchmarks by name; all without one."""
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        print(f"No benchmark is called {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}.", file=sys.stderr)
        return 2
    short = 0
    for name in names or BENCHMARKS:
        for bar in importlib.import_module(f"benchmarks.{name}").bars():
            print(bar, flush=True)
            short += not bar.holds
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:])))
