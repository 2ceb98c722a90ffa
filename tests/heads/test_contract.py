"""Every head, in every variant, keeps the contract."""

import dataclasses
import itertools

import pytest
import torch

import heads
from heads.ale import ALE
from heads.bilinear import BilinearOptions
from heads.coco import TEXTS, CoCo, CoCoOptions
from heads.conse import ConSE, ConseOptions
from heads.dem import DEM, DemOptions
from heads.devise import DeViSE
from heads.e2e import E2E, E2eOptions
from heads.er import ER, ErOptions
from heads.eszsl import ESZSL, EszslOptions
from heads.gcn import GCN, GcnOptions
from heads.jigsaw import CONSISTENCIES, EXCITATIONS, TARGETS, JigsawNet, JigsawOptions
from heads.nearest import Nearest, NearestOptions
from heads.pseudo import Pseudo, PseudoOptions
from heads.relation import RelationNet, RelationOptions
from heads.rest import ResT, RestOptions
from heads.ridge import Ridge, RidgeOptions
from heads.sje import SJE
from heads.transfer import Transfer, TransferOptions
from pipelines.learn.training import Training
from tests.heads import made
from tests.heads.head_contract import HeadContract

_COCO = {
    f"coco {texts}{' invariant' * invariance}": CoCoOptions(texts, invariance, joint=6, dropout=0)
    for texts, invariance in itertools.product(TEXTS, (True, False))
}
_JIGSAW = {
    f"jigsaw {ge}, {consistency} {target}, {'groups' if groups else 'one to one'}": JigsawOptions(
        groups, ge, consistency, target, heads=2, dropout=0
    )
    for groups, ge, consistency, target in itertools.product((True, False), EXCITATIONS, CONSISTENCIES, TARGETS)
    if consistency != "none" or target == "predicted"
}
VARIANTS = {
    "conse": (ConSE, ConseOptions()),
    "conse, two nearest": (ConSE, ConseOptions(texts="class+definition", nearest=2)),
    "ridge": (Ridge, RidgeOptions()),
    "ridge, two components": (Ridge, RidgeOptions(texts="class+definition", components=2, unit_videos=True)),
    "transfer": (Transfer, TransferOptions()),
    "transfer, few, two kinds": (Transfer, TransferOptions("class+definition", nearest=3, theta=0.7, rho=2)),
    "transfer without constraints, unit videos": (Transfer, TransferOptions(constraints="none", unit_videos=True)),
    "transfer in reverse": (Transfer, TransferOptions(constraints="I+III", direction="reverse", nearest=2)),
    "rest": (ResT, RestOptions(hidden_size=6, depth=2, heads=2, dropout=0)),
    "rest, classes alone": (
        ResT,
        RestOptions(hidden_size=6, depth=1, heads=3, dropout=0, losses="cls", attention="full"),
    ),
    "rest, words alone": (ResT, RestOptions(hidden_size=6, depth=1, heads=3, dropout=0, losses="mlm")),
    "rest, all see all": (ResT, RestOptions(hidden_size=6, depth=1, heads=1, dropout=0, attention="full")),
    "rest, two streams of rnn": (ResT, RestOptions(hidden_size=6, dropout=0, sequence="rnn")),
    "rest, two streams of lstm, no transfer": (
        ResT,
        RestOptions(hidden_size=6, sequence="lstm", direction="reverse", constraints="III", rho=1),
    ),
    "er": (ER, ErOptions(joint=6, dropout=0)),
    "er, joint as the texts": (ER, ErOptions(joint=0, dropout=0)),
    "er residual": (ER, ErOptions(residual=True, dropout=0)),
    **{name: (CoCo, options) for name, options in _COCO.items()},
    "coco residual": (CoCo, CoCoOptions(residual=True, dropout=0)),
    **{name: (JigsawNet, options) for name, options in _JIGSAW.items()},
    "jigsaw residual": (JigsawNet, JigsawOptions(heads=2, residual=True)),
    "jigsaw residual, no GE": (JigsawNet, JigsawOptions(ge="none", residual=True)),
    "nearest": (Nearest, NearestOptions()),
    "pseudo": (Pseudo, PseudoOptions(hide=0)),
    "pseudo that hides": (Pseudo, PseudoOptions(hide=0.6, drawn=2)),
    "pseudo without pseudo-videos": (Pseudo, PseudoOptions("class+phrase", weight=0, hide=0)),
    "devise": (DeViSE, BilinearOptions()),
    "devise, as in the skeleton paper": (DeViSE, BilinearOptions(dropout=0, others="all", unit_videos=True)),
    "ale": (ALE, BilinearOptions(dropout=0)),
    "ale, all classes, two kinds": (ALE, BilinearOptions("class+phrase", others="all")),
    "sje": (SJE, BilinearOptions(dropout=0)),
    "dem": (DEM, DemOptions(hidden=6)),
    "dem not rectified": (DEM, DemOptions("definition", hidden=6, rectified=False, unit_videos=True)),
    "eszsl": (ESZSL, EszslOptions(video_ridge=1)),
    "eszsl, unit videos": (ESZSL, EszslOptions("class+description", unit_videos=True)),
    "gcn": (GCN, GcnOptions(hidden=(6,))),
    "gcn, prototypes, texts that classes share": (GCN, GcnOptions("definition", (6, 5), 3, 0, "prototype")),
    "relation": (RelationNet, RelationOptions("class", 6, 5)),
    "relation, seen classes": (RelationNet, RelationOptions("phrase", 6, 5, "seen", False)),
    "relation, classes of the batch": (RelationNet, RelationOptions("class", 6, 5, "batch")),
    "e2e": (E2E, E2eOptions()),
    "e2e, dropout of each clip": (E2E, E2eOptions("class+definition", 0.1, False, True)),
}


@pytest.mark.parametrize("name", heads.HEADS)
def test_a_head_is_found_by_its_name_and_says_how_it_is_made_and_trained(name):
    head = heads.find(name)
    more = (made.M,) if head.needs_segments else ()
    assert any(head is variant for variant, _ in VARIANTS.values())
    built = head(made.A, made.A, head.Options(), *more)
    assert set(head.reads(built.options)) <= set(made.KINDS)
    assert head.published.keys() <= {field.name for field in dataclasses.fields(Training)}
    Training(**head.published)
    learns = next(built.parameters(), None) is not None
    assert (head.published.get("epochs") == 0) == (not learns)


def test_a_head_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(LookupError, match=r"^No head is called 'resnet'; there are: nearest, er, .*, e2e, rest\.$"):
        heads.find("resnet")


@pytest.mark.parametrize("name", heads.HEADS)
def test_what_a_set_lacks_is_left_out_of_what_is_read(name):
    head = heads.find(name)
    assert head.fallback(lambda kind: True) is None
    found = head.fallback(lambda kind: kind != "description")
    if found is None:
        assert name == "er" or "description" not in head.reads(head.Options())
        return
    reads = head.reads(head.Options(texts=found[0]))
    assert reads == tuple(kind for kind in head.reads(head.Options()) if kind != "description")
    assert "no description" in found[1]


class TestEveryHead(HeadContract):
    @pytest.fixture(params=VARIANTS)
    def variant(self, request):
        return VARIANTS[request.param]

    @pytest.fixture
    def width(self, variant):
        head, options = variant
        return made.A if head in (Nearest, Pseudo) or getattr(options, "residual", False) else made.D

    @pytest.fixture
    def make(self, variant, width):
        head, options = variant
        more = (made.M,) if head.needs_segments else ()

        def build():
            torch.manual_seed(0)
            return head(width, made.A, options, *more).double()

        return build


@pytest.mark.parametrize("head", [Nearest, Pseudo])
def test_a_head_without_a_way_between_two_spaces_says_so(head):
    with pytest.raises(ValueError, match="7"):
        head(7, 8, (NearestOptions if head is Nearest else PseudoOptions)())


@pytest.mark.parametrize(
    ("head", "options"),
    [
        (ER, ErOptions(residual=True)),
        (CoCo, CoCoOptions(residual=True)),
        (JigsawNet, JigsawOptions(residual=True)),
    ],
)
def test_a_residual_projection_between_two_widths_is_refused(head, options):
    with pytest.raises(ValueError, match="7 into 8"):
        head(7, 8, options)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (CoCoOptions, {"texts": "everything"}),
        (JigsawOptions, {"ge": "magic"}),
        (JigsawOptions, {"consistency": "some"}),
        (JigsawOptions, {"target": "guess"}),
        (BilinearOptions, {"others": "none"}),
        (RelationOptions, {"others": "unseen"}),
        (GcnOptions, {"target": "anything"}),
    ],
)
def test_an_unknown_choice_is_refused_by_name(options, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong.values()))):
        options(**wrong)


def test_attention_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="3 heads do not divide the width 8"):
        JigsawNet(7, 8, JigsawOptions(heads=3))


def _cosine(a, b):
    return torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=-1)


@pytest.mark.parametrize(("head", "options"), [(ER, ErOptions(residual=True)), (CoCo, CoCoOptions(residual=True))])
def test_residual_er_and_coco_start_as_cosines_of_the_features_themselves(head, options):
    videos, seen = made.videos("none", made.A), made.seen()
    found = head(made.A, made.A, options).double().eval().scores(videos, seen)
    told = seen["elaboration"].features[seen["elaboration"].text]
    wanted = _cosine(videos.segments.mean(1), told)
    if head is CoCo:
        cosines = _cosine(videos.segments.mean(1), seen["description"].features)
        means = torch.stack([cosines[:, own].mean(1) for own in made.of_class(seen, "description")], 1)
        wanted = (wanted + means) / 2
    assert torch.allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("ge", ["attention", "none"])
def test_residual_jigsaw_starts_as_group_alignment_of_the_features_themselves(ge):
    videos, seen = made.videos("all", made.A), made.seen()
    head = JigsawNet(made.A, made.A, JigsawOptions(heads=2, ge=ge, residual=True)).double().eval()
    phrases = seen["phrase"].features
    by_segment = torch.stack([_cosine(videos.segments[:, x], phrases) for x in range(made.M)], 1)
    by_object = _cosine(videos.objects, phrases)
    for k, own in enumerate(made.of_class(seen, "phrase")):
        wanted = by_segment[:, :, own].amax(-1).mean(1) + by_object[:, own].amax(-1).clamp(min=0)
        assert torch.allclose(head.scores(videos, seen)[:, k], wanted, atol=1e-12)


def test_pseudo_starts_as_cosines_of_centred_features():
    videos, seen = made.videos("none", made.A), made.seen()
    head = Pseudo(made.A, made.A, PseudoOptions("class", weight=0), made.M).double()
    head.begin(videos, seen)
    told = torch.nn.functional.normalize(seen["class"].features, dim=-1)
    wanted = _cosine((videos.segments - videos.segments.mean((0, 1))).mean(1), told - told.mean(0))
    assert torch.allclose(head.scores(videos, seen), wanted, atol=1e-12)
