"""ResT as the paper writes it, in plain loops; what may reach what through the mask; what is hidden, what is kept."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from heads.base import Videos
from heads.cross_modal import CrossModal
from heads.rest import ResT, RestOptions
from heads.words import FILL, MASK, hidden, tokens_of, words_of
from tests.heads import made

_OPTIONS = RestOptions(hidden_size=6, depth=2, heads=3, dropout=0)


def _begun(options: RestOptions = _OPTIONS) -> ResT:
    torch.manual_seed(0)
    head = made.shaken(ResT(made.D, made.A, options, made.M))
    head.begin(made.videos("none"), made.seen())
    return made.shaken(head).eval()


# -- the transformer, equations 7 to 9 --------------------------------------------------------------------------------


def _norm(row, weight, bias):
    mean = sum(row) / len(row)
    var = sum((v - mean) ** 2 for v in row) / len(row)
    return [(v - mean) / math.sqrt(var + 1e-5) * w + b for v, w, b in zip(row, weight, bias, strict=True)]


def _linear(row, weight, bias):
    return [sum(w * v for w, v in zip(line, row, strict=True)) + b for line, b in zip(weight, bias, strict=True)]


def _gelu(value):
    return value / 2 * (1 + math.erf(value / math.sqrt(2)))


def _may_look(token, other, visual):
    """Visual tokens and [CLS] at those alone; a word at those, at words on its left and at itself."""
    return other < visual if token < visual else other <= token


def _layer(z, arrays, heads, visual):
    told = [_linear(row, arrays["self_attn.in_proj_weight"], arrays["self_attn.in_proj_bias"]) for row in z]
    model, size = len(z[0]), len(z[0]) // heads
    mixed = [[0.0] * model for _ in z]
    for head in range(heads):
        for token in range(len(z)):
            query = told[token][head * size : (head + 1) * size]
            weights = {}
            for other in range(len(z)):
                if _may_look(token, other, visual):
                    key = told[other][model + head * size : model + (head + 1) * size]
                    weights[other] = math.exp(sum(q * k for q, k in zip(query, key, strict=True)) / math.sqrt(size))
            for other, weight in weights.items():
                for at in range(size):
                    value = told[other][2 * model + head * size + at]
                    mixed[token][head * size + at] += weight / sum(weights.values()) * value
    out = []
    for row, attended in zip(z, mixed, strict=True):
        there = _linear(attended, arrays["self_attn.out_proj.weight"], arrays["self_attn.out_proj.bias"])
        first = _norm([a + b for a, b in zip(there, row, strict=True)], arrays["norm1.weight"], arrays["norm1.bias"])
        inner = [_gelu(v) for v in _linear(first, arrays["linear1.weight"], arrays["linear1.bias"])]
        second = _linear(inner, arrays["linear2.weight"], arrays["linear2.bias"])
        summed = [a + b for a, b in zip(second, first, strict=True)]
        out.append(_norm(summed, arrays["norm2.weight"], arrays["norm2.bias"]))
    return out


def _arrays(module):
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def _by_loops(head, segments, words):
    """x and the states of the words of one video, from [CLS], its segments and the tokens of a label."""
    network, told = _arrays(head.network), _arrays(head.words)
    z = [[c + p for c, p in zip(network["cls"], network["positions"][0], strict=True)]]
    for t, segment in enumerate(segments, start=1):
        row = _linear(segment, network["project.weight"], network["project.bias"])
        z.append([v + p for v, p in zip(row, network["positions"][t], strict=True)])
    for place, word in enumerate(words):
        z.append([v + p for v, p in zip(told["embedding.weight"][word], told["positions"][place], strict=True)])
    for layer in head.network.layers:
        z = _layer(z, _arrays(layer), _OPTIONS.heads, 1 + len(segments))
    return _norm(z[0], network["norm.weight"], network["norm.bias"]), z[1 + len(segments) :]


def test_the_transformer_is_that_of_the_equations():
    head = _begun()
    segments = made.videos("none").segments
    words = torch.tensor([[2, MASK], [3, 4], [MASK, 5], [2, 2], [4, 5]])
    x, states = head.network(segments, head.words(words))
    for n in range(made.N):
        own_x, own_states = _by_loops(head, segments[n].tolist(), words[n].tolist())
        assert x[n].tolist() == pytest.approx(own_x, abs=1e-10)
        assert states[n].flatten().tolist() == pytest.approx(np.array(own_states).flatten().tolist(), abs=1e-10)


def _mlp(module, row):
    arrays = _arrays(module)
    inner = [_gelu(v) for v in _linear(row, arrays["0.weight"], arrays["0.bias"])]
    return _linear(inner, arrays["2.weight"], arrays["2.bias"])


def _cross_entropy(logits, right):
    return math.log(sum(math.exp(v) for v in logits)) - logits[right]


def test_the_loss_is_that_of_the_paper():
    head, videos = _begun(), made.videos("none")
    table, _ = tokens_of(made.seen().names)
    labels = table[videos.labels]
    torch.manual_seed(5)
    told, chosen = hidden(labels, _OPTIONS.hide)
    torch.manual_seed(5)
    parts = {name: float(part.detach()) for name, part in head.loss(videos, made.seen()).items()}
    classes, words = [], []
    for n in range(made.N):
        x, states = _by_loops(head, videos.segments[n].tolist(), told[n].tolist())
        classes.append(_cross_entropy(_mlp(head.classifier, x), int(videos.labels[n])))
        for place in range(table.shape[1]):
            if chosen[n, place]:
                words.append(_cross_entropy(_mlp(head.words.read, states[place]), int(labels[n, place])))
    assert len(words) >= made.N
    assert parts == pytest.approx({"classes": np.mean(classes), "words": 0.5 * np.mean(words)}, abs=1e-10)


# -- what reaches what ------------------------------------------------------------------------------------------------


def _made(attention="single"):
    torch.manual_seed(1)
    return made.shaken(CrossModal(7, 5, 24, 3, 4, 0.0, attention)).float(), torch.randn(6, 5, 7), torch.randn(6, 4, 24)


@pytest.mark.parametrize("training", [False, True])
def test_no_word_reaches_x_not_by_a_bit(training):
    network, segments, words = _made()
    network.train(training)
    x, states = network(segments, words)
    for place in range(4):
        other = words.clone()
        other[:, place] = torch.randn(6, 24) * 100
        changed, other_states = network(segments, other)
        assert torch.equal(changed, x)
        assert torch.equal(other_states[:, :place], states[:, :place])
        assert not torch.allclose(other_states[:, place:], states[:, place:])
    assert torch.allclose(network.seen(segments), x, atol=1e-5)


def test_words_read_the_video():
    network, segments, words = _made()
    states = network(segments, words)[1]
    for token in range(5):
        other = segments.clone()
        other[:, token] += 1
        assert not torch.isclose(network(other, words)[1], states).all(-1).any()


def test_where_all_see_all_words_reach_x():
    network, segments, words = _made("full")
    other = words.clone()
    other[:, 3] += 1
    assert not torch.allclose(network(segments, other)[0], network(segments, words)[0])


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ApplyEyeMakeup", ["apply", "eye", "makeup"]),
        ("playing badminton (doubles)", ["playing", "badminton", "doubles"]),
        ("brush_hair", ["brush", "hair"]),
        ("YoYo", ["yo", "yo"]),
        ("TaiChi2", ["tai", "chi", "2"]),
        ("faire la vaisselle à la main", ["faire", "la", "vaisselle", "à", "la", "main"]),
        ("A012", ["a", "012"]),
        ("?!", ["?!"]),
    ],
)
def test_words_of_names(name, words):
    assert words_of(name) == words


def test_at_least_one_word_of_each_label_is_hidden_and_no_filling():
    table, vocabulary = tokens_of(["jump", "jump over a wall", "climb a wall"])
    assert table.tolist()[0] == [table[1, 0], FILL, FILL, FILL]
    assert vocabulary == 2 + len({"jump", "over", "a", "wall", "climb"})
    torch.manual_seed(0)
    counts = torch.zeros(3, 4)
    for _ in range(4000):
        told, chosen = hidden(table, 0.15)
        assert bool(chosen.any(1).all())
        assert not bool((chosen & (table == FILL)).any())
        assert torch.equal(told, torch.where(chosen, MASK, table))
        counts += chosen
    share = counts / 4000
    assert share[0, 0] == 1
    # of four words: .15 each, and where none was drawn (.85^4) one of them
    assert share[1].tolist() == pytest.approx([0.15 + 0.85**4 / 4] * 4, abs=0.03)


# -- objects ----------------------------------------------------------------------------------------------------------


def _with_objects(lacking=()):
    videos = made.videos("none")
    regions = torch.randn(made.N, 2, 9, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    regions[list(lacking)] = torch.nan
    return dataclasses.replace(videos, regions=regions)


def _begun_with(videos):
    torch.manual_seed(0)
    head = ResT(made.D, made.A, _OPTIONS, made.M)
    head.double().begin(videos, made.seen())
    return made.shaken(head).eval()


def test_objects_are_visual_tokens_without_an_order():
    videos = _with_objects()
    head = _begun_with(videos)
    x = head.x(videos)
    turned = dataclasses.replace(videos, regions=videos.regions.flip(1))
    assert torch.allclose(head.x(turned), x, atol=1e-12)
    moved = videos.regions.clone()
    moved[:, 0, -1] += 1  # when it was seen
    assert not torch.isclose(head.x(dataclasses.replace(videos, regions=moved)), x).all(-1).any()
    network, tokens = _arrays(head.network), _arrays(head.regions)
    z = [[c + p for c, p in zip(network["cls"], network["positions"][0], strict=True)]]
    for t, segment in enumerate(videos.segments[0].tolist(), start=1):
        row = _linear(segment, network["project.weight"], network["project.bias"])
        z.append([v + p for v, p in zip(row, network["positions"][t], strict=True)])
    z += [_linear(row, tokens["weight"], tokens["bias"]) for row in videos.regions[0].tolist()]
    for layer in head.network.layers:
        z = _layer(z, _arrays(layer), _OPTIONS.heads, len(z))
    assert x[0].tolist() == pytest.approx(_norm(z[0], network["norm.weight"], network["norm.bias"]), abs=1e-10)


def test_a_video_without_objects_is_as_if_nobody_had_asked_for_them():
    videos = _with_objects(lacking=(1, 3))
    head = _begun_with(videos)
    alone = head.x(dataclasses.replace(videos, regions=None))
    x = head.x(videos)
    assert torch.allclose(x[[1, 3]], alone[[1, 3]], atol=1e-12)
    assert not torch.isclose(x[[0, 2, 4]], alone[[0, 2, 4]]).all(-1).any()
    sum(head.loss(videos, made.seen()).values()).backward()
    assert all(bool(p.grad.isfinite().all()) for p in head.parameters() if p.grad is not None)
    assert bool((head.regions.weight.grad != 0).any())
    again = ResT(made.D, made.A, _OPTIONS, made.M).double().eval()
    again.load_state_dict(head.state_dict())
    assert torch.equal(again.x(videos), x)


def test_a_recurrent_network_refuses_objects():
    videos = _with_objects()
    head = ResT(made.D, made.A, RestOptions(hidden_size=6, sequence="rnn"), made.M).double()
    with pytest.raises(ValueError, match="take sequence=transformer"):
        head.begin(videos, made.seen())


# -- prototypes, and judging ------------------------------------------------------------------------------------------


def test_prototypes_are_the_means_of_the_seen_videos_and_judge_by_the_transfer():
    head, videos, seen, unseen = _begun(), made.videos("none"), made.seen(), made.unseen()
    with torch.no_grad():
        logits = head.scores(videos, seen)
        assert torch.equal(logits, head.classifier(head.x(videos)))  # nothing is put together yet
        head.finish([videos.take(torch.tensor([0, 1])), videos.take(torch.tensor([2, 3, 4]))], seen, unseen)
        x = head.x(videos)
        for k in range(4):
            own = [x[n] for n in range(made.N) if made.LABELS[n] == k]
            assert torch.allclose(head.transfer.means[k], sum(own) / len(own))
        assert torch.equal(head.scores(videos, unseen), head.transfer.scores(Videos(x[:, None]), unseen))


def test_options_of_the_transfer_count_only_when_it_judges():
    first, second = (
        _begun(),
        _begun(RestOptions(hidden_size=6, depth=2, heads=3, dropout=0, nearest=2, theta=0.5, rho=1)),
    )
    assert set(ResT.late) == {"texts", "constraints", "nearest", "theta", "rho", "direction", "unit_videos"}
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.x(made.videos("none")), second.x(made.videos("none")))


def test_a_state_is_loaded_into_the_layers_that_an_optimiser_holds():
    head, other = _begun(), _begun()
    held = dict(head.named_parameters())
    head.load_state_dict(other.state_dict())
    assert all(parameter is held[name] for name, parameter in head.named_parameters())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sequence": "gru"}, "sequence is transformer or rnn or lstm, got 'gru'"),
        ({"losses": "mlm+cls"}, "losses is cls"),
        ({"heads": 5}, "hidden_size must be a multiple of heads, got 768 and 5"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"hide": 1.5}, "hide is a share"),
        ({"dropout": 1.0}, "dropout is a share"),
        ({"constraints": "IV"}, "constraints are of I, II and III"),
    ],
)
def test_options_that_cannot_be_are_refused_with_the_rule(wrong, said):
    with pytest.raises(ValueError, match=said):
        ResT(made.D, made.A, RestOptions(**wrong), made.M)
