"""In what a run is other than what was published, told beside its number."""

import copy
import dataclasses

import pytest

import heads
from pipelines.judge.table_files import tables
from pipelines.learn import options, trainables
from pipelines.learn.departures import AsPublished, of_network, of_run
from pipelines.learn.finetune import settled
from pipelines.learn.settings import FinetuneConfig, FitConfig

COCO = {
    "feature": "tsm_resnet50@0",
    "encoder": "bert_base_uncased@0",
    "objects": "bit_objects@0",
}


def about(head: str, *given: str, feature="", encoder="", objects="", captions=False, each=100.0, **more) -> dict:
    """What `run.json` of a run says, as far as it is looked at."""
    config = FitConfig(head, "d", feature, "p", options=given, **more)
    kind = heads.find(head)
    pairs = options.pairs(given)
    own, training = options.settings(head, kind.Options, pairs, options.as_published(kind.published, pairs), {})
    return {
        "config": dataclasses.asdict(config),
        "options": dataclasses.asdict(own),
        "training": dataclasses.asdict(training),
        "videos": {"feature": feature, "captions": captions},
        "texts": {"feature": encoder, "a_class": {"description": each}},
        "objects": {"feature": objects} if objects else None,
    }


def test_a_run_as_published_departs_in_what_its_head_always_does_alone():
    paper = heads.find("coco").paper
    assert of_run(about("coco", **COCO)) == (*paper.frozen, *paper.always)


def test_layers_that_are_trained_are_no_departure():
    run = about("coco", **COCO | {"encoder": "bert_tokens@0"})
    run["texts"]["layers_trained"] = True
    assert of_run(run) == heads.find("coco").paper.always


def test_a_backbone_whose_last_layers_are_trained_is_the_published_one():
    given = {"encoder": "bert_tokens@0", "objects": "bit_objects@0"}
    run = about("jigsaw", feature="r2plus1d_34_below_stage@0", **given)
    run["texts"]["layers_trained"] = run["videos"]["layers_trained"] = True
    assert of_run(run) == ("of the backbone the last layers learn, on clips that are not cropped anew",)
    assert "the backbone is not fine-tuned" in of_run(about("jigsaw", feature="r2plus1d_34_segments@0", **given))


def test_settings_inputs_and_what_is_chosen_are_told():
    run = about("coco", "lr=1e-4", "optimiser=sgd", "residual=true", **COCO | {"encoder": "minilm@0", "objects": ""})
    run["texts"]["a_class"] = {"description": 31.4}
    run["config"]["tune"] = ["epochs=3,10"]
    told = of_run(run)
    assert told[:3] == (
        "encoder minilm for bert_base_uncased",
        "objects none for bit_objects",
        "31 descriptions a class in the mean for 100",
    )
    assert set(told[3:-2]) == {
        "residual on for off",
        "optimiser sgd for adam",
        "lr 0.0001 for 0.001",
        "epochs chosen from 3, 10",
    }
    captions = of_run(about("coco", **COCO | {"feature": "minilm@0"}, captions=True))
    assert captions[0] == "feature minilm (captions) for tsm_resnet50 or bit_objects"


def test_nothing_departs_where_nothing_was_published():
    assert of_run(about("pseudo", "lr=1", feature="x", encoder="y")) == ()


def test_every_head_that_was_published_names_its_paper():
    ours = {name for name in heads.HEADS if heads.find(name).paper is None}
    assert ours == {"nearest", "pseudo", "ridge"}


def test_a_row_s_published_options_are_the_measure_in_place_of_the_head_s():
    given = ("others=all", "lr=1e-3")
    run = about("devise", *given, "texts=definition", feature="raw_joints@0", encoder="minilm@0")
    assert not any(line.startswith(("others", "lr")) for line in of_run(run, AsPublished(given)))
    assert "texts definition for class" in of_run(run, AsPublished(given))
    read = {"feature": ("raw_joints:frame=hip",), "encoder": ("minilm",)}
    assert of_run(run, AsPublished((*given, "texts=definition"), read)) == ()


@pytest.mark.parametrize("name", ["coco", "er", "jigsawnet"])
def test_rows_of_a_paper_s_own_table_depart_by_nothing_but_what_their_heads_always_do(name):
    for table in tables(name):
        for row in table.rows:
            config = row.configs[0]
            run = about(config.head, *config.options, feature=config.feature, encoder=config.encoder, k=config.k)
            run["objects"] = {"feature": config.objects} if config.objects else None
            run["texts"]["a_class"] = {"description": float(config.k)}
            paper = heads.find(config.head).paper
            still = paper.still[:1] if paper.still else ()
            assert of_run(run, row.as_published) == (*paper.frozen, *still, *paper.always)


def test_what_is_set_by_hand_in_a_paper_s_table_departs():
    by_hand = {"dataset": "ucf101", "feature": "minilm", "encoder": "minilm", "objects": ""}
    row = next(r for t in tables("jigsawnet", by_hand) for r in t.rows if r.name == "JigsawNet")
    run = about("jigsaw", *row.configs[0].options, feature="minilm@0", encoder="minilm@0", captions=True)
    told = of_run(run, row.as_published)
    assert told[:3] == (
        "feature minilm (captions) for r2plus1d_34_segments",
        "encoder minilm for bert_base_uncased",
        "objects none for bit_objects",
    )
    assert {"lr 0.0001 for 1e-05", "epochs 15 for 20"} <= set(told)


def test_a_table_s_published_options_are_set_and_leave_run_names_as_they_were():
    devise = [r for t in tables("skeleton") for r in t.rows if r.name == "DeViSE"]
    assert devise
    for row in devise:
        assert row.configs[0].options == (
            *("texts=class+definition", "others=all", "unit_videos=true", "dropout=0", "optimiser=sgd", "lr=1e-3"),
            *("batch=64", "epochs=100", "schedule=constant"),
        )
        told = of_run(
            about("devise", *row.configs[0].options, feature="stgcn_small@0", encoder="minilm@0"), row.as_published
        )
        assert told == (
            "feature stgcn_small for stgcn",
            "encoder minilm for sent2vec",
            "texts class+definition for class",
        )


def test_networks_say_how_they_are_trained_otherwise():
    config = dataclasses.asdict(settled(FinetuneConfig("stgcn_small", "d", batch=48)))
    told = of_network({"config": config})
    assert told[0] == "model stgcn_small for stgcn"
    assert {"lr 0.1 for 0.01", "epochs 60 for 80", "weight_decay 0.0005 for 0.0001"} <= set(told)
    assert not any(line.startswith("batch") for line in told)
    published = dataclasses.asdict(
        settled(FinetuneConfig("e2e_r2plus1d", "d", options=("vectors=word_vectors", "an_epoch=100000")))
    )
    assert of_network({"config": published}) == ()
    smaller = copy.deepcopy(published) | {"epochs": 20, "options": ["width=8"]}
    assert {"epochs 20 for 150", "an_epoch 0 for 100000"} <= set(of_network({"config": smaller}))
    assert all(trainables.find(name).paper for name in ("stgcn", "e2e_c3d"))
