"""The algebra of the papers as plain Python on lists of floats: slow, and nothing in common with the code it judges."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

Vector = list[float]


def dot(a: Vector, b: Vector) -> float:
    total = 0.0
    for x, y in zip(a, b, strict=True):
        total += x * y
    return total


def norm(a: Vector) -> Vector:
    length = math.sqrt(dot(a, a))
    return [x / length for x in a]


def add(*vectors: Vector) -> Vector:
    return [sum(values) for values in zip(*vectors, strict=True)]


def scaled(a: Vector, by: float) -> Vector:
    return [by * x for x in a]


def mean(vectors: Sequence[Vector]) -> Vector:
    return scaled(add(*vectors), 1 / len(vectors))


def weighted(weights: Sequence[float], vectors: Sequence[Vector]) -> Vector:
    return add(*(scaled(vector, weight) for weight, vector in zip(weights, vectors, strict=True)))


def linear(layer: nn.Linear, a: Vector) -> Vector:
    out = [dot(row, a) for row in rows(layer.weight)]
    return out if layer.bias is None else add(out, rows(layer.bias))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softmax(scores: Vector) -> Vector:
    powers = [math.exp(s) for s in scores]
    return [p / sum(powers) for p in powers]


def cross_entropy(scores: Sequence[Vector], labels: Sequence[int], tau: float) -> float:
    """Mean over the videos of -log softmax(score / tau) at the label."""
    each = [-math.log(softmax([s / tau for s in row])[label]) for row, label in zip(scores, labels, strict=True)]
    return sum(each) / len(each)


def marked(scores: Sequence[Vector], targets: Sequence[Sequence[bool]], tau: float) -> float:
    """Mean over the marked pairs of -log softmax(score / tau)."""
    pairs = []
    for row, own in zip(scores, targets, strict=True):
        shares = softmax([s / tau for s in row])
        pairs += [-math.log(share) for share, is_own in zip(shares, own, strict=True) if is_own]
    return sum(pairs) / len(pairs)


def rows(tensor: Tensor) -> list:
    return tensor.detach().double().tolist()
