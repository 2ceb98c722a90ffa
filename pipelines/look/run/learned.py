"""How a split was learned: the curves of its training, as the engine's history has them.

split-000/history.json ─▶ losses, learning rate and validation over the epochs, a drawing each
"""

import dataclasses

from markupsafe import Markup

from pipelines.pages.curves import curves
from stores.root import Root
from stores.runs import Runs


@dataclasses.dataclass(frozen=True)
class Learned:
    """The curves of one training.

    Attributes
    ----------
    epochs : that were gone through
    best : the one whose weights validated best; 0 where nothing was held out
    drawings : what each shows, and the drawing
    """

    epochs: int
    best: int
    drawings: tuple[tuple[str, Markup], ...]


def stages(run: str, number: int, root: Root) -> list[tuple[str, Learned]]:
    """The trainings that came before a split's own, by the names of their folders."""
    told = [(name, learned(run, number, root, name)) for name in Runs(root).files(run, f"split-{number:03d}")]
    return [(name, own) for name, own in told if own]


def learned(run: str, number: int, root: Root, *stage: str) -> Learned | None:
    """The curves of a split, or of a stage of it; None where it is not trained to the end, or had nothing to learn."""
    history = Runs(root).told(run, f"split-{number:03d}", *stage, "history.json")
    if not history or not history["epochs"]:
        return None
    entries = history["epochs"]
    names = [name for name in entries[0] if name not in ("lr", "validation")]
    parts = [name for name in names if name != "loss"]
    losses = {"loss": "loss"} if len(parts) < 2 else {"loss": "in all"} | {name: name for name in parts[:3]}
    drawn = [
        ("Loss", curves({told: [e[name] for e in entries] for name, told in losses.items()}, "loss by epoch", log=True))
    ]
    if all("validation" in entry for entry in entries):
        line = {"top-1": [entry["validation"] for entry in entries]}
        drawn.append(("Top-1 on what was held out", curves(line, "validation by epoch", share=True)))
    drawn.append(("Learning rate", curves({"lr": [entry["lr"] for entry in entries]}, "learning rate by epoch")))
    return Learned(len(entries), history["best"], tuple(drawn))
