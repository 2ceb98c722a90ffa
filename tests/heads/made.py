"""Small videos and texts: N=5 videos, m=3 segments, K=4 seen and 3 unseen classes, some texts shared by classes."""

import dataclasses

import torch
from torch import Tensor, nn

from heads.base import ClassTexts, Texts, Videos

N, M, D, A = 5, 3, 7, 8
LABELS = torch.tensor([2, 0, 3, 1, 2])
LACKING = (1, 3)  # the videos without objects where only some have any
KINDS = ("class", "elaboration", "definition", "description", "phrase")
_SEEN = {  # by kind: the texts of each class
    "class": [[0], [1], [2], [3]],
    "elaboration": [[0], [1], [2], [1]],
    "definition": [[0], [1], [2], [3]],
    "description": [[0, 1, 2], [3, 1], [4, 5, 6], [6]],
    "phrase": [[0, 1], [1, 2, 3], [4], [0, 3]],
}
_UNSEEN = {
    "class": [[0], [1], [2]],
    "elaboration": [[0], [1], [2]],
    "definition": [[0], [0], [1]],
    "description": [[0, 1], [1, 2], [3]],
    "phrase": [[0, 1], [2], [1, 3, 2]],
}


def texts(of_class: list[list[int]], width: int = A, seed: int = 0) -> Texts:
    """Texts with random features; `of_class` lists the rows of each class."""
    pairs = [(row, k) for k, own in enumerate(of_class) for row in own]
    total = max(row for row, _ in pairs) + 1
    features = torch.randn(total, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Texts(features, torch.tensor([row for row, _ in pairs]), torch.tensor([k for _, k in pairs]))


def _classes(layout: dict[str, list[list[int]]], letter: str, seed: int) -> ClassTexts:
    kinds = {kind: texts(of_class, A, seed + i) for i, (kind, of_class) in enumerate(layout.items())}
    return ClassTexts(tuple(f"{letter}{k}" for k in range(len(layout["class"]))), kinds)


def seen() -> ClassTexts:
    return _classes(_SEEN, "seen", 10)


def unseen(seed: int = 20) -> ClassTexts:
    return _classes(_UNSEEN, "unseen", seed)


def repeated(classes: ClassTexts) -> ClassTexts:
    """The same texts, but none shared: a row for each pair of a text and a class."""
    kinds = {kind: Texts(t.features[t.text], torch.arange(len(t.text)), t.owner) for kind, t in classes.kinds.items()}
    return ClassTexts(classes.names, kinds)


def videos(objects: str = "all", width: int = D, seed: int = 1) -> Videos:
    """Five labelled videos; `objects` of `all` of them, of `some` or of `none`."""
    random = torch.Generator().manual_seed(seed)
    segments = torch.randn(N, M, width, generator=random, dtype=torch.float64)
    if objects == "none":
        return Videos(segments, LABELS)
    told = torch.randn(N, A, generator=random, dtype=torch.float64)
    concepts = torch.tensor([[0, 3], [3, 5], [1, -1], [0, 1], [6, 0]])
    if objects == "some":
        told[list(LACKING)] = torch.nan
        concepts[list(LACKING)] = -1
    features = torch.randn(7, A, generator=random, dtype=torch.float64)
    return Videos(segments, LABELS, told, concepts, features)


def single(batch: Videos) -> Videos:
    """The same videos in single precision."""
    fields = {name: value for name, value in vars(batch).items() if value is not None and value.is_floating_point()}
    return dataclasses.replace(batch, **{name: value.float() for name, value in fields.items()})


def single_texts(classes: ClassTexts) -> ClassTexts:
    kinds = {kind: Texts(t.features.float(), t.text, t.owner) for kind, t in classes.kinds.items()}
    return ClassTexts(classes.names, kinds)


def own_concepts(batch: Videos) -> tuple[list[int], list[list[bool]]]:
    """The objects of a batch, and of each video which of them are its own."""
    assert batch.concepts is not None
    each = [[c for c in row if c >= 0] for row in batch.concepts.tolist()]
    found = sorted({c for row in each for c in row})
    return found, [[c in row for c in found] for row in each]


def shaken(head: nn.Module, seed: int = 5) -> nn.Module:
    """The head in double precision with every weight drawn, those that start from zero too."""
    head = head.double()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
    return head


def there(batch: Videos) -> list[bool]:
    """Which videos have objects."""
    assert batch.objects is not None
    return [bool(torch.isfinite(row).all()) for row in batch.objects]


def of_class(classes: ClassTexts, kind: str) -> list[list[int]]:
    """Rows of the texts of each class."""
    found: list[list[int]] = [[] for _ in classes.names]
    for row, k in zip(classes[kind].text.tolist(), classes[kind].owner.tolist(), strict=True):
        found[k].append(row)
    return found


def close(found: Tensor, wanted: object, tolerance: float = 1e-10) -> bool:
    return torch.allclose(found.detach(), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=tolerance)
