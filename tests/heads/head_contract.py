"""What every head promises; a test class inherits it and says which head is made."""

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from heads.base import Head, Videos
from tests.heads import made

Make = Callable[[], Head]
OBJECTS = ("all", "some", "none")


class HeadContract:
    """Inherit and define the fixtures `make`, a fresh head in double precision, and `width`, D."""

    @pytest.fixture
    def make(self) -> Make:
        raise NotImplementedError

    @pytest.fixture
    def width(self) -> int:
        raise NotImplementedError

    @pytest.fixture(params=OBJECTS)
    def videos(self, request: pytest.FixtureRequest, width: int) -> Videos:
        return made.videos(request.param, width)

    @pytest.fixture
    def begun(self, make, videos) -> Head:
        """A head whose training has begun, with weights that are not those it starts with."""
        return _begun(made.shaken(make()), videos)

    def test_permuting_classes_permutes_scores(self, begun, videos):
        order = [2, 0, 3, 1]
        whole = _scores(begun, videos, made.seen())
        assert torch.allclose(_scores(begun, videos, made.seen().of(order)), whole[:, order], atol=1e-12)

    def test_a_score_does_not_depend_on_which_other_classes_are_candidates(self, begun, videos):
        seen, unseen = made.seen(), made.unseen()
        both = _scores(begun, videos, seen.joined(unseen))
        assert torch.allclose(both[:, :4], _scores(begun, videos, seen), atol=1e-12)
        assert torch.allclose(both[:, 4:], _scores(begun, videos, unseen), atol=1e-12)
        assert torch.allclose(both[:, [5]], _scores(begun, videos, unseen.of([1])), atol=1e-12)

    def test_permuting_videos_permutes_scores(self, begun, videos):
        order = torch.tensor([4, 1, 0, 3, 2])
        whole = _scores(begun, videos, made.seen())
        assert torch.allclose(_scores(begun, videos.take(order), made.seen()), whole[order], atol=1e-12)

    def test_a_video_scores_the_same_whatever_its_batch(self, begun, videos):
        whole = _scores(begun, videos, made.seen())
        for i in range(made.N):
            alone = _scores(begun, videos.take(torch.tensor([i])), made.seen())
            assert torch.allclose(alone, whole[[i]], atol=1e-10), i

    def test_scores_need_no_labels(self, begun, videos):
        unlabelled = dataclasses.replace(videos, labels=None)
        assert torch.equal(_scores(begun, unlabelled, made.seen()), _scores(begun, videos, made.seen()))

    def test_a_shared_text_scores_as_if_each_class_had_its_own_copy(self, begun, videos):
        repeated = _scores(begun, videos, made.repeated(made.seen()))
        assert torch.allclose(_scores(begun, videos, made.seen()), repeated, atol=1e-12)

    def test_scores_are_finite_and_judging_twice_gives_the_same(self, begun, videos):
        first = _scores(begun, videos, made.seen())
        assert first.shape == (made.N, 4)
        assert bool(first.isfinite().all())
        assert torch.equal(first, _scores(begun, videos, made.seen()))

    def test_weights_alone_bring_a_head_back(self, make, begun, videos):
        again = make()
        again.load_state_dict(begun.state_dict())
        assert torch.equal(_scores(again, videos, made.unseen()), _scores(begun, videos, made.unseen()))

    def test_loss_parts_and_their_gradients_are_finite(self, begun, videos):
        for _ in range(3):  # a head that remembers has something to remember by now
            begun.zero_grad()
            parts = _parts(begun, videos)
            if not _learns(begun):
                assert parts == {}
                return
            assert all(part.ndim == 0 and bool(part.isfinite()) for part in parts.values())
            total = torch.stack(list(parts.values())).sum()
            total.backward()
            gradients = [p.grad for p in begun.parameters() if p.grad is not None]
            assert gradients
            assert all(bool(g.isfinite().all()) for g in gradients)
            assert any(bool((g != 0).any()) for g in gradients)

    def test_the_gradient_is_the_slope_of_the_loss(self, begun, videos):
        if not _learns(begun):
            pytest.skip("nothing is learned")
        _parts(begun, videos)  # what is remembered between batches is a given, no function of the weights
        _total(trained := copy.deepcopy(begun), videos).backward()
        step = 1e-6
        for name, parameter in trained.named_parameters():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            random = torch.Generator().manual_seed(len(name))
            along = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
            along /= along.norm()
            with torch.no_grad():
                above, below = (_total(_moved(begun, name, sign * step * along), videos) for sign in (1, -1))
            slope = float(above - below) / (2 * step)
            assert float((gradient * along).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-6), name

    def test_a_few_steps_down_the_gradient_lower_the_loss(self, begun, videos):
        if not _learns(begun):
            pytest.skip("nothing is learned")
        optimiser = torch.optim.SGD(begun.parameters(), 1e-2)
        losses = []
        for _ in range(30):
            begun.epoch()
            optimiser.zero_grad()
            total = _total(begun, videos)
            total.backward()
            optimiser.step()
            losses.append(float(total.detach()))
        assert min(losses[-5:]) < losses[0]

    def test_it_trains_in_half_precision_too(self, make, videos):
        head, half = made.shaken(make()).float(), made.single(videos)
        seen, unseen = made.single_texts(made.seen()), made.single_texts(made.unseen())
        head.begin(half, seen, unseen if head.uses_unseen_texts else None)
        if not _learns(head):
            pytest.skip("nothing is learned")
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                total = torch.stack(list(head.loss(half, seen, unseen).values())).sum()
            total.backward()
            assert bool(total.isfinite())
        head.eval()
        with torch.autocast("cpu", torch.bfloat16):
            assert bool(head.scores(half, seen).isfinite().all())

    def test_only_a_head_that_says_so_reads_the_texts_of_unseen_classes(self, make, videos):
        first, second = (
            _parts(head, videos, made.unseen(seed)) | head.state_dict()
            for head, seed in ((_begun(made.shaken(make()), videos, seed), seed) for seed in (20, 40))
        )
        reads = any(not torch.equal(first[name], second[name]) for name in first)
        assert reads == make().uses_unseen_texts

    def test_it_reads_no_kind_of_text_but_those_it_names(self, begun, videos):
        seen = made.seen()
        reads = begun.reads(begun.options)
        few = dataclasses.replace(seen, kinds={kind: seen[kind] for kind in reads})
        assert torch.equal(_scores(begun, videos, few), _scores(begun, videos, seen))
        for left_out in reads:
            fewer = dataclasses.replace(seen, kinds={kind: seen[kind] for kind in reads if kind != left_out})
            with pytest.raises(KeyError, match=f"no texts of kind '{left_out}'"):
                _scores(begun, videos, fewer)


def _begun(head: Head, videos: Videos, unseen_seed: int = 20) -> Head:
    told = made.seen(), made.unseen(unseen_seed) if head.uses_unseen_texts else None
    head.begin(videos, *told)
    head.epoch()
    with torch.no_grad():
        head.eval().finish([videos], *told)
    return head


def _scores(head: Head, videos: Videos, classes) -> Tensor:
    with torch.no_grad():
        return head.eval().scores(videos, classes)


def _parts(head: Head, videos: Videos, unseen=None) -> dict[str, Tensor]:
    torch.manual_seed(3)
    return head.train().loss(videos, made.seen(), (unseen or made.unseen()) if head.uses_unseen_texts else None)


def _total(head: Head, videos: Videos) -> Tensor:
    return torch.stack(list(_parts(head, videos).values())).sum()


def _moved(head: Head, name: str, by: Tensor) -> Head:
    """A copy of the head, all that it remembers too, with one of its weights moved."""
    other = copy.deepcopy(head)
    with torch.no_grad():
        dict(other.named_parameters())[name].add_(by)
    return other


def _learns(head: Head) -> bool:
    return next(head.parameters(), None) is not None
