"""GCN: the graph, the layers, what is regressed and what is stored, against plain loops."""

import pytest
import torch

from heads.base import ClassTexts, Texts
from heads.gcn import GCN, GcnOptions, graph
from tests.heads import made
from tests.heads.loops import add, dot, linear, norm, rows, scaled
from tests.heads.test_devise import told, vectors

NEIGHBOURS = 3


def begun(unseen=True, **options) -> GCN:
    torch.manual_seed(0)
    given = {"hidden": (6,), "neighbours": NEIGHBOURS, "dropout": 0} | options
    head = made.shaken(GCN(made.D, made.A, GcnOptions(**given)))
    head.begin(made.videos("none"), made.seen(), made.unseen() if unseen else None)
    return head


def links_of(nodes, neighbours=NEIGHBOURS):
    near = []
    for a in nodes:
        order = sorted(range(len(nodes)), key=lambda j: -dot(a, nodes[j]))
        near.append(order[:neighbours])
    linked = [[j in near[i] or i in near[j] for j in range(len(nodes))] for i in range(len(nodes))]
    return [[mark / sum(row) for mark in row] for row in linked]


def classes_of(head, nodes, links):
    hidden = nodes
    for at, layer in enumerate(head.layers):
        sent = [linear(layer.sent, h) for h in hidden]
        out = []
        for i, h in enumerate(hidden):
            gathered = [0.0] * len(sent[0])
            for j, share in enumerate(links[i]):
                gathered = add(gathered, scaled(sent[j], share))
            out.append(add(gathered, [dot(row, h) for row in rows(layer.kept.weight)]))
        if at < len(head.layers) - 1:
            out = [[x if x > 0 else 0.2 * x for x in h] for h in out]
        hidden = out
    return [norm(h) for h in hidden]


def all_told():
    return told(made.seen()) + told(made.unseen())


def test_a_link_is_there_where_either_is_among_the_others_nearest_itself_counted():
    nodes = all_told()
    found = graph(torch.tensor(nodes, dtype=torch.float64), NEIGHBOURS)
    assert made.close(found, links_of(nodes))
    assert bool((found.diagonal() > 0).all())
    assert bool(((found > 0).sum(1) >= NEIGHBOURS).all())


def test_fewer_nodes_than_neighbours_are_all_linked():
    found = graph(torch.tensor(told(made.unseen()), dtype=torch.float64), 5)
    assert made.close(found, [[1 / 3] * 3] * 3)


@pytest.mark.parametrize("hidden", [(6,), (6, 5, 4)])
def test_a_score_is_the_inner_product_with_the_output_of_the_graph(hidden):
    head, batch = begun(hidden=hidden).eval(), made.videos("none")
    nodes = all_told()
    z = classes_of(head, nodes, links_of(nodes))
    wanted = [[dot(v, each) for each in z] for v in vectors(batch)]
    both = made.seen().joined(made.unseen())
    assert made.close(head.scores(batch, both), wanted)
    assert made.close(head.scores(batch, made.unseen().of([2, 0])), [[row[6], row[4]] for row in wanted])


def ridge(batch, unit_videos, share):
    """(D, S) classifiers by the normal equations; that these are the right ones is a test of its own."""
    v = torch.tensor(vectors(batch, unit_videos), dtype=torch.float64)
    y = torch.nn.functional.one_hot(made.LABELS, 4).double()
    by = share * (v.T @ v).diagonal().mean()
    return torch.linalg.inv(v.T @ v + by * torch.eye(made.D, dtype=torch.float64)) @ v.T @ y


@pytest.mark.parametrize("unit_videos", [False, True])
def test_seen_classifiers_are_regressed(unit_videos):
    head, batch = begun(unit_videos=unit_videos, ridge=0.2), made.videos("none")
    nodes = all_told()
    z = classes_of(head, nodes, links_of(nodes))
    targets = [norm(w) for w in rows(ridge(batch, unit_videos, 0.2).T)]
    each = [(x - y) ** 2 for a, b in zip(z[:4], targets, strict=True) for x, y in zip(a, b, strict=True)]
    assert made.close(head.loss(batch, made.seen(), made.unseen())["distance"], sum(each) / len(each))


def test_classifiers_minimise_the_ridge_regression_onto_the_classes():
    """No slope of |V w - y|^2 + by |w|^2 at the target, at the length it had before it was made a unit vector."""
    head, batch = begun(ridge=0.3), made.videos("none")
    v = torch.tensor(vectors(batch), dtype=torch.float64)
    y = torch.nn.functional.one_hot(made.LABELS, 4).double()
    by = 0.3 * v.square().sum() / made.D
    unit_w = head._targets.T
    length = ridge(batch, False, 0.3).norm(dim=0)
    weight = (unit_w * length).requires_grad_()
    ((v @ weight - y).square().sum() + by * weight.square().sum()).backward()
    assert weight.grad.abs().max() < 1e-10


def test_or_the_mean_videos_of_seen_classes():
    head, batch = begun(target="prototype"), made.videos("none")
    means = vectors(batch)
    own = [[v for v, label in zip(means, made.LABELS.tolist(), strict=True) if label == k] for k in range(4)]
    assert made.close(head._targets, [norm(add(*each)) for each in own])


def test_the_loss_does_not_depend_on_the_batch():
    head, batch = begun(), made.videos("none")
    few = batch.take(torch.tensor([1]))
    assert torch.equal(head.loss(batch, made.seen())["distance"], head.loss(few, made.seen())["distance"])


def test_classes_told_alike_are_one_node():
    """The first two unseen classes share their definition."""
    head = begun(texts="definition").eval()
    assert len(head.nodes) == 6
    scores = head.scores(made.videos("none"), made.unseen())
    assert torch.allclose(scores[:, 0], scores[:, 1], atol=1e-14)
    assert not torch.allclose(scores[:, 0], scores[:, 2])


def test_a_class_that_is_no_node_is_linked_one_way_to_the_nearest_and_itself():
    head = begun(unseen=False).eval()
    nodes = told(made.seen())
    wanted = []
    for t in told(made.unseen()):
        near = sorted(range(4), key=lambda j, t=t: -dot(t, nodes[j]))[: NEIGHBOURS - 1]
        links = [[*row, 0.0] for row in links_of(nodes)]
        links.append([(j in near) / NEIGHBOURS for j in range(4)] + [1 / NEIGHBOURS])
        wanted.append(classes_of(head, [*nodes, t], links)[-1])
    assert made.close(head.prototypes(made.unseen()), wanted)


def test_the_graph_is_stored_with_the_weights_whatever_its_size():
    trained = begun().eval()
    fresh = GCN(made.D, made.A, GcnOptions(hidden=(6,), neighbours=NEIGHBOURS)).double().eval()
    fresh.load_state_dict(trained.state_dict())
    assert fresh.nodes.shape == (7, made.A)
    assert torch.equal(fresh.prototypes(made.unseen()), trained.prototypes(made.unseen()))
    again = begun(unseen=False)  # a larger graph than its own comes in
    again.load_state_dict(trained.state_dict())
    assert torch.equal(again.eval().prototypes(made.seen()), trained.prototypes(made.seen()))


def test_a_head_that_never_trained_still_judges():
    fresh = GCN(made.D, made.A, GcnOptions(hidden=(6,))).double().eval()
    assert bool(fresh.scores(made.videos("none"), made.unseen()).isfinite().all())


def test_near_texts_stay_apart_and_rounding_does_not_part_one_text():
    near = torch.randn(2, made.A, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, other = near / near.norm(dim=1, keepdim=True)
    features = torch.stack([one, one + 1e-9 * other, one + 1e-2 * other, other])
    kinds = {"class": Texts(features, torch.arange(4), torch.arange(4))}
    head = GCN(made.D, made.A, GcnOptions(hidden=(6,))).double()
    head.begin(made.videos("none"), ClassTexts(("a", "b", "c", "d"), kinds))
    assert len(head.nodes) == 3


def test_the_last_layer_is_dropped_out_in_training_only():
    head, seen = begun(dropout=0.5), made.seen()
    torch.manual_seed(1)
    first, second = (float(head.train().loss(made.videos("none"), seen)["distance"].detach()) for _ in range(2))
    assert first != second
    assert torch.equal(head.eval().prototypes(seen), begun().eval().prototypes(seen))


@pytest.mark.parametrize("wrong", [{"neighbours": 0}, {"ridge": 0.0}])
def test_a_graph_without_links_and_a_ridge_of_nought_are_refused(wrong):
    with pytest.raises(ValueError, match="at least 1 and ridge above 0"):
        GcnOptions(**wrong)
