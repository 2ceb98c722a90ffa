"""Reproduce: a table of runs, each fitted and judged once, with paired differences."""

import csv
import dataclasses
import html
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extractors.random_vectors import RandomVectors
from extractors.raw_joints import RawJoints
from extractors.stgcn import STGCNSmall
from heads import HEADS
from pipelines.errors import UsageError
from pipelines.judge import reproduce as reproducing
from pipelines.judge import table_page
from pipelines.judge.table_files import tables
from pipelines.judge.table_texts import MEASURES, as_csv, markdown
from pipelines.learn import finetune as finetuning
from pipelines.learn import fit as fitting
from pipelines.learn.fit import fit
from pipelines.learn.protocols.protocols import protocol
from pipelines.look.run.page import run_page
from pipelines.texts.adding import add
from pipelines.texts.settings import TextsConfig
from stores.errors import Ambiguous
from stores.features import FeatureStore
from stores.keys import stream_key
from stores.root import Root
from stores.runs import Runs
from tests.pipelines import skeletons, studies

pytestmark = pytest.mark.usefixtures("fake")


def reproduce(*given, **more) -> str:
    return markdown(reproducing.reproduce(*given, **more))


@pytest.fixture
def data(tmp_path: Path) -> Root:
    return studies.made(tmp_path)


def table(folder: Path, more: str = "", setting: str = "zsl") -> str:
    path = folder / "mine.toml"
    options = ", ".join(f'"{option}"' for option in studies.ER)
    path.write_text(
        f"""
[all]
dataset = "d"
feature = "fake_text"
protocol = "{studies.protocol(folder)}"
k = 0
workers = 1
device = "cpu"
hold_out = 0.5
{more}

[[table]]
title = "Without training"
about = "No video is learned from."
reference = "names"
all = {{ head = "nearest" }}
row = [
  {{ name = "names", options = ["texts=class"], published = "12.3" }},
  {{ name = "definitions", options = ["texts=definition"], note = "ours" }},
]

[[table]]
title = "Trained"
setting = "{setting}"
row = [{{ name = "ER", head = "er", options = [{options}] }}]
"""
    )
    return str(path)


def row_of(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def top1(root: Root, run: str, measure: str = "top1", setting: str = "zsl") -> list[float]:
    rows = Runs(root).read(run, "results").to_pylist()
    return [row[measure] for row in sorted(rows, key=lambda row: row["split"]) if row["setting"] == setting]


def spread(values: list[float]) -> str:
    mean = sum(values) / len(values)
    deviation = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
    return f"{100 * mean:.1f} ± {100 * deviation:.1f}"


def test_a_table_is_the_judged_runs_with_paired_differences(data, tmp_path):
    lines: list[str] = []
    text = reproduce(table(tmp_path), data, told=lines.append)
    assert text.startswith("### Without training\n\nNo video is learned from.\n\n| ")
    names, definitions, er = (row_of(text, name) for name in ("names", "definitions (ours)", "ER"))
    one, other = top1(data, names[-1]), top1(data, definitions[-1])
    for cells, values in ((names, one), (definitions, other), (er, top1(data, er[-1]))):
        assert cells[1] == spread(values)
    differences = [b - a for a, b in zip(one, other, strict=True)]
    mean = sum(differences) / 3
    deviation = math.sqrt(sum((d - mean) ** 2 for d in differences) / 2)
    assert len(set(differences)) > 1
    assert (
        definitions[5] == f"{100 * mean:+.1f} ± {100 * deviation * math.sqrt(1 / 3 + 3 / 5):.1f}"
    )  # Nadeau and Bengio
    assert names[5] == ""
    assert names[6:9] == ["3", "90 (0)", "12.3"]
    assert er[5:8] == ["3", "90 (0)", ""]  # a table without a reference compares nothing
    assert len(re.findall("^Features: fake_text@.*; trained before on: captioners, unknown", text, re.M)) >= 2
    assert lines[0] == "Without training"
    assert lines[1] == f"  names: {names[1]} ({names[-1]})"
    assert [line for line in lines if not line.startswith(" ")] == ["Without training", "Trained"]


def test_gzsl_tables_show_seen_unseen_and_their_harmonic_mean(data, tmp_path):
    text = reproduce(table(tmp_path, "gzsl = true", "gzsl"), data, only="TRAINED")
    assert "Without" not in text
    cells = row_of(text, "ER")
    for at, measure in enumerate(("seen_top1", "unseen_top1", "harmonic_mean"), start=1):
        assert cells[at] == spread(top1(data, cells[-1], measure, "gzsl"))


def test_a_second_call_fits_and_judges_nothing(data, tmp_path, monkeypatch):
    path = table(tmp_path)
    first = reproduce(path, data)
    monkeypatch.setattr(fitting, "_fit_split", None)
    monkeypatch.setattr(reproducing, "evaluate", None)
    assert reproduce(path, data) == first


def test_splits_set_by_hand_are_fitted_and_the_rest_is_added_later(data, tmp_path):
    path = table(tmp_path)
    one = reproduce(path, data, "trained", set_by_hand={"splits": "1"})
    run = row_of(one, "ER")[-1]
    assert row_of(one, "ER")[5] == "1"
    assert row_of(one, "ER")[1] == spread(top1(data, run))
    everything = reproduce(path, data, "trained")
    assert row_of(everything, "ER")[-1] == run
    assert row_of(everything, "ER")[5] == "3"
    again = reproduce(path, data, "trained", set_by_hand={"splits": "1"})
    assert row_of(again, "ER")[1] == row_of(one, "ER")[1]  # of what is judged, what was asked for


# -- seeds ------------------------------------------------------------------------------------------------------------


def of_seeds(folder: Path, rows: str, more: str = "", reference: str = "") -> str:
    """A file of one table, of ER where its rows say nothing else."""
    path = folder / "seeds.toml"
    options = ", ".join(f'"{option}"' for option in studies.ER)
    path.write_text(
        f"""
[all]
head = "er"
dataset = "d"
feature = "fake_text"
protocol = "{studies.protocol(folder)}"
options = [{options}]
k = 0
workers = 1
device = "cpu"
hold_out = 0.5
[[table]]
title = "Seeds"
reference = "{reference}"
{more}
row = [{rows}]
"""
    )
    return str(path)


def by_seed_and_split(root: Root, path: str, name: str, setting: str = "zsl") -> dict[tuple[int, int], dict[str, Any]]:
    """Judged rows of a table's row, by seed and split; the runs are there, and found again."""
    ((row,),) = [[row for row in own.rows if row.name == name] for own in tables(path)]
    found = {}
    for config in row.configs:
        for told in Runs(root).read(fit(config, root).run, "results").to_pylist():
            if told["setting"] == setting:
                found[config.seed, told["split"]] = told
    return found


def paired(differences: list[float]) -> str:
    """Of three splits of five seen and three unseen classes, seed by seed."""
    splits = [sum(differences[k::3]) / len(differences[k::3]) for k in range(3)]
    mean = sum(splits) / 3
    variance = sum((each - mean) ** 2 for each in splits) / 2
    return f"{100 * mean:+.1f} ± {100 * math.sqrt(variance * (1 / 3 + 3 / 5)):.1f}"


def test_seeds_are_runs_of_one_row_and_differences_are_of_the_same_split(data, tmp_path):
    rows = '{ name = "one", seeds = 2 }, { name = "two", seeds = 2, options = ["dropout=0.5", "epochs=1"] }'
    path = of_seeds(tmp_path, rows, reference="one")
    text = reproduce(path, data)
    head = [cell.strip() for cell in text.splitlines()[2].strip("|").split("|")]
    assert head[5:7] == ["against one", "seeds x splits"]
    one, two = (by_seed_and_split(data, path, name) for name in ("one", "two"))
    pairs = [(seed, split) for seed in range(2) for split in range(3)]
    assert sorted(one) == sorted(two) == pairs
    assert [one[0, k]["top1"] for k in range(3)] != [one[1, k]["top1"] for k in range(3)]
    for name, found in (("one", one), ("two", two)):
        cells = row_of(text, name)
        assert cells[1] == spread([found[pair]["top1"] for pair in pairs])
        assert cells[3] == spread([found[pair]["mean_class_top1"] for pair in pairs])
        assert cells[6:8] == ["2 x 3", "90 (0)"]
        first = fit(next(r for own in tables(path) for r in own.rows if r.name == name).configs[0], data)
        assert (cells[-1], first.fitted) == (f"{first.run} and 1 more", 0)
    differences = [two[pair]["top1"] - one[pair]["top1"] for pair in pairs]
    assert row_of(text, "two")[5] == paired(differences)
    swapped = [two[pair]["top1"] - one[pair[0], (pair[1] + 1) % 3]["top1"] for pair in pairs]
    assert paired(swapped) != paired(differences)
    assert len(Runs(data).names()) == 4


def test_a_reference_of_one_seed_stands_for_all(data, tmp_path):
    rows = '{ name = "names", head = "nearest", options = [] }, { name = "two", seeds = 2, seed = 3 }'
    path = of_seeds(tmp_path, rows, reference="names").replace("seeds.toml", "own.toml")
    text = Path(tmp_path / "seeds.toml").read_text()
    options = ", ".join(f'"{option}"' for option in studies.ER)
    text = text.replace(f"options = [{options}]\n", "").replace("seed = 3", f"seed = 3, options = [{options}]")
    Path(path).write_text(text.replace("options = []", 'options = ["texts=class"]'))
    text = reproduce(path, data)
    names, two = (by_seed_and_split(data, path, name) for name in ("names", "two"))
    assert sorted(names) == [(0, 0), (0, 1), (0, 2)]
    assert sorted(two) == [(seed, split) for seed in (3, 4) for split in range(3)]
    assert row_of(text, "two")[5] == paired([two[seed, k]["top1"] - names[0, k]["top1"] for seed, k in sorted(two)])
    assert [row_of(text, name)[6] for name in ("names", "two")] == ["3", "2 x 3"]


def test_a_row_that_fuses_others_is_judged_seed_by_seed(data, tmp_path, monkeypatch):
    rows = (
        '{ name = "both", fuse = ["less", "ER"], note = "ours" },'
        ' { name = "ER" }, { name = "less", seeds = 1, splits = "1-2", options = ["epochs=1"] }'
    )
    path = of_seeds(tmp_path, rows, "all = { seeds = 2 }", "ER")
    (grid,) = reproducing.reproduce(path, data)
    both, er, less = grid.rows
    assert [each.row.name for each in grid.rows] == ["both", "ER", "less"]
    for run, of_seed in zip(both.runs, er.runs, strict=True):  # one seed stands for all
        assert Runs(data).about(run)["runs"] == sorted([of_seed, *less.runs])
    assert [(row["seed"], row["split"]) for row in both.found["zsl"]] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert [row["sides"] for row in both.found["zsl"]] == [(5, 3)] * 4
    cells = row_of(markdown([grid]), "both (ours)")
    values = [top1(data, run) for run in both.runs]
    assert cells[1] == spread([value for own in values for value in own])
    monkeypatch.setattr(reproducing, "fuse", lambda *given: pytest.fail("it was judged before"))
    assert reproduce(path, data) == markdown([grid])
    twice = '{ name = "a" }, { name = "b" }, { name = "both", fuse = ["a", "b"] }'
    (grid,) = reproducing.reproduce(of_seeds(tmp_path, twice), data)
    assert grid.rows[2].runs == grid.rows[0].runs
    assert grid.rows[2].found == grid.rows[0].found


def test_both_settings_stand_in_one_table_of_the_same_runs(data, tmp_path):
    path = of_seeds(tmp_path, '{ name = "ER", seeds = 2, gzsl = true, splits = "0,2" }', 'setting = "zsl+gzsl"')
    lines: list[str] = []
    cells = row_of(reproduce(path, data, told=lines.append), "ER")
    at = 1
    for setting, measures in MEASURES.items():
        found = by_seed_and_split(data, path, "ER", setting)
        assert sorted(found) == [(0, 0), (0, 2), (1, 0), (1, 2)]
        for measure in measures:
            assert cells[at] == spread([row[measure] for row in found.values()]), measure
            at += 1
    zsl = by_seed_and_split(data, path, "ER").values()
    assert cells[at] == f"{sum(row['hubness'] for row in zsl) / 4:.2f}"
    assert cells[at + 1 : at + 3] == ["2 x 2", f"{sum(row['n'] for row in zsl) // 2} (0)"]  # each video once
    assert lines[1].startswith(f"  ER: {cells[1]} (")  # zero-shot top-1, which the table shows first


def test_the_seed_stands_in_texts_and_each_makes_a_table_of_its_own(tmp_path):
    path = of_seeds(
        tmp_path,
        '{ name = "a", seeds = 2, seed = 4, encoder = "random_vectors:seed={seed}", options = ["x={seed}"] }, '
        '{ name = "b" }',
        'all = { seeds = 3 }\neach = [{ dataset = "d1" }, { protocol = "truze", seed = 7 }]',
    )
    text = Path(path).read_text().replace('title = "Seeds"', 'title = "{dataset} by {protocol}, {other}"')
    Path(path).write_text(text)
    one, other = tables(path)
    assert [own.title for own in (one, other)] == [f"d1 by {tmp_path}/own.json, {{other}}", "d by truze, {other}"]
    for own in (one, other):
        a = own.rows[0].configs
        assert [(c.seed, c.encoder, c.options[-1]) for c in a] == [
            (seed, f"random_vectors:seed={seed}", f"x={seed}") for seed in (4, 5)
        ]
    assert [c.seed for c in one.rows[1].configs] == [0, 1, 2]
    assert [c.seed for c in other.rows[1].configs] == [7, 8, 9]
    assert {c.dataset for row in one.rows for c in row.configs} == {"d1"}
    by_hand = tables(path, {"dataset": "mine", "seed": 1})[0].rows[1].configs
    assert [(c.dataset, c.seed) for c in by_hand] == [("mine", 1), ("mine", 2), ("mine", 3)]


# -- backbones --------------------------------------------------------------------------------------------------------

BACKBONE = '{ model = "stgcn_small", epochs = 1, frames = 8, batch = 8, threads = 1 }'


def of_backbone(folder: Path, *unseen: tuple[str, ...], backbone: str = BACKBONE, rows: str = "") -> str:
    """A file of one table of skeletons, whose feature is of a network to train."""
    splits = [{"seen": [c for c in skeletons.CLASSES if c not in own], "unseen": own} for own in unseen]
    (folder / "splits.json").write_text(json.dumps(splits))
    path = folder / "backbone.toml"
    path.write_text(
        f"""
[all]
dataset = "p"
feature = "stgcn_small"
encoder = "random_vectors"
protocol = "{folder / "splits.json"}"
options = ["texts=class"]
workers = 1
device = "cpu"
backbone = {backbone}
[[table]]
title = "Skeletons"
reference = "ridge on raw joints"
row = [
  {{ name = "ESZSL", head = "eszsl", seeds = 2 }},
  {{ name = "segments", head = "eszsl", feature = "stgcn_small:segments=2" }},
  {{ name = "ridge on raw joints", head = "ridge", feature = "raw_joints:frames=4,frame=hip" }},
  {rows}
]
"""
    )
    return str(path)


@pytest.fixture
def skeleton(root: Root, tmp_path: Path) -> Root:
    skeletons.dataset(root, tmp_path, each=3)
    (tmp_path / "classes.txt").write_text("\n".join(skeletons.CLASSES))
    add(TextsConfig((str(tmp_path / "classes.txt"),), "class", "p"), root)
    return root


def trained(root: Root) -> Path:
    """Folder of the one backbone that was trained."""
    (folder,) = Path(root.path("runs")).glob("stgcn_small-*")
    return folder


def test_a_backbone_is_trained_on_the_seen_classes_and_its_features_are_what_a_row_reads(
    skeleton, tmp_path, monkeypatch
):
    path = of_backbone(tmp_path, ("bow", "dive"))
    assert [row.backbone is None for row in tables(path)[0].rows] == [False, False, True]
    text = reproduce(path, skeleton)
    told = json.loads((trained(skeleton) / "split-000" / "split.json").read_text())
    assert (told["classes"], told["unseen"], told["epochs"]) == (["clap", "fence"], ["bow", "dive"], 1)
    store = FeatureStore(skeleton)
    recipes = {name: store.find(name).recipe for name in store.names() if not name.startswith("random_vectors")}
    assert sorted(name.partition("@")[0] for name in recipes) == ["raw_joints", "stgcn_small", "stgcn_small"]
    with open(trained(skeleton) / "split-000" / "weights.safetensors", "rb") as file:
        digest = stream_key(file).hex()
    segments = {}
    for name, recipe in recipes.items():
        own = name.startswith("stgcn_small")
        assert recipe["weights"] == (digest if own else "none")
        segments[name] = recipe["sampling"].get("segments")
    read = {
        each["run"]: each["feature"]
        for name in ("ESZSL", "segments", "ridge on raw joints")
        for each in Runs(skeleton).read(row_of(text, name)[-1].partition(" ")[0], "results").to_pylist()
    }
    assert [segments[feature] for feature in read.values()] == [1, 2, None]
    assert row_of(text, "ESZSL")[6] == "2 x 1"
    assert re.search(r"^Features: stgcn_small@.*; trained before on: p \(2 classes\)", text, re.M)

    for module, name in ((fitting, "_fit_split"), (reproducing, "evaluate"), (finetuning, "_train")):
        monkeypatch.setattr(module, name, None)
    for extractor in (STGCNSmall, RawJoints, RandomVectors):
        monkeypatch.setattr(extractor, "__call__", None)
    assert reproduce(path, skeleton) == text


def test_what_gzsl_keeps_back_is_kept_from_the_backbone_too(tmp_path):
    path = of_backbone(tmp_path, ("bow",), rows='{ name = "g", head = "eszsl", gzsl = true, set = "p", splits = "0" }')
    plain, *_, judged = tables(path)[0].rows
    assert plain.backbone is not None
    assert judged.backbone is not None
    assert (plain.backbone.gzsl, judged.backbone.gzsl) == (False, True)
    expected = dataclasses.replace(plain.backbone, gzsl=True, splits="0")
    assert judged.backbone == expected
    assert (plain.backbone.dataset, plain.backbone.device, plain.backbone.frames) == ("p", "cpu", 8)


def test_a_backbone_of_a_protocol_of_class_vectors_is_drawn_by_those_of_its_head(root, tmp_path):
    names = [f"{limb} {how}" for limb in ("arm", "hand", "leg", "foot") for how in ("up", "down", "round")]
    sequences = [skeletons.body(k % 4, seed=2 * k + i) for k in range(12) for i in range(2)]
    labels = [k for k in range(12) for _ in range(2)]
    (tmp_path / "many.npz").write_bytes(skeletons.many(sequences, labels, names=names))
    skeletons.index(root, tmp_path / "many.npz")
    (tmp_path / "classes.txt").write_text("\n".join(names))
    add(TextsConfig((str(tmp_path / "classes.txt"),), "class", "p"), root)
    path = Path(of_backbone(tmp_path))
    path.write_text(path.read_text().replace(f"{tmp_path / 'splits.json'}", "ntu-nearest"))
    cells = row_of(reproduce(str(path), root), "ESZSL")
    (row,) = Runs(root).read(cells[-1].partition(" ")[0], "results").to_pylist()
    told = json.loads((trained(root) / "split-000" / "split.json").read_text())
    assert len(told["classes"]) == 7
    assert row["n"] == 2 * len(told["unseen"]) == 10


def test_each_split_has_a_backbone_of_its_own(skeleton, tmp_path):
    path = of_backbone(tmp_path, ("bow",), ("clap",))
    text = reproduce(path, skeleton, set_by_hand={"splits": "1"})
    assert [path.name for path in trained(skeleton).glob("split-*")] == ["split-001"]
    assert row_of(text, "segments")[6] == "1"
    text = reproduce(path, skeleton)
    assert sorted(path.name for path in trained(skeleton).glob("split-*")) == ["split-000", "split-001"]
    assert row_of(text, "segments")[6] == "2"
    assert row_of(text, "ESZSL")[6] == "2 x 2"
    runs = [run for run in Runs(skeleton).names() if run.startswith("eszsl")]
    rows = [row for run in runs for row in Runs(skeleton).read(run, "results").to_pylist()]
    assert sorted(row["split"] for row in rows) == [0, 0, 0, 1, 1, 1]
    assert len({row["feature"] for row in rows}) == 4  # of two lengths, a backbone a split


def test_the_table_of_skeletons_can_be_read():
    found = tables("skeleton")
    titles = [own.title for own in found]
    assert len(titles) == len(set(titles))
    assert {config.dataset for own in found for row in own.rows for config in row.configs} == {"utd-mhad", "nw-ucla"}
    for own in found:
        names = [row.name for row in own.rows]
        assert len(names) == len(set(names))
        for row in own.rows:
            assert (row.backbone is not None) == row.configs[0].feature.startswith("stgcn_small")
            for config in row.configs:
                assert protocol(config.protocol).count == 1
                assert config.protocol in own.title
                assert config.head in HEADS
                assert config.encoder in ("minilm", f"random_vectors:seed={config.seed}")
            if row.backbone:
                first = row.configs[0]
                same = ("dataset", "protocol", "gzsl", "splits")
                assert all(getattr(row.backbone, name) == getattr(first, name) for name in same)


def test_the_tables_of_e2e_say_which_networks_they_need():
    rows = [(own.title, row) for own in tables("e2e") for row in own.rows]
    assert len({(title, row.name) for title, row in rows}) == len(rows) == 25
    for title, row in rows:
        (config,) = row.configs
        assert protocol(config.protocol).count == (1 if "all classes" in title else 10)
        assert re.fullmatch(r"\d\d\.\d( / \d\d\.\d)?", row.published)
        if row.name == "baseline":
            assert (row.backbone, config.head, config.dataset, config.judge) == (None, "e2e", "kinetics", "ucf101")
            continue
        assert row.backbone is not None
        assert (row.backbone.dataset, row.backbone.protocol, row.backbone.splits) == ("kinetics", "none", "")
        assert row.backbone.model == config.feature.partition(":")[0]
        assert set(row.backbone.judge) >= {config.dataset} or "activitynet" in row.backbone.judge
        assert ("605" in row.name) == ("activitynet" in row.backbone.judge)
        assert (row.before is not None) == ("augment" in row.name)
        if row.before is not None:
            assert (row.before.dataset, row.before.judge, row.before.model) == ("sun", (), row.backbone.model)
    trainings = {(row.backbone, row.before) for _, row in rows if row.backbone}
    assert len(trainings) == 5  # each network is trained once for all tables


def test_one_network_of_another_data_set_serves_all_splits_and_begins_with_another(skeleton, tmp_path, monkeypatch):
    asked: list = []

    def finetune(config, root):
        asked.append(config)
        return dataclasses.make_dataclass("Report", ["weights"])({0: f"{config.dataset}.safetensors"})

    extracted: list = []

    def extract(config, root):
        extracted.append(config)
        feature = dataclasses.make_dataclass("Feature", ["name"])("made@0")
        return dataclasses.make_dataclass("Report", ["features"])((feature,))

    monkeypatch.setattr(reproducing, "finetune", finetune)
    monkeypatch.setattr(reproducing, "extract", extract)
    (row,) = [row for own in tables("e2e", {"splits": "0-2"}) for row in own.rows if row.name == "e2e, augment"][:1]
    (whole,) = reproducing._parts(row, row.configs[0])
    assert whole.splits == "0-2"
    assert reproducing._feature(row, whole, skeleton) == "made@0"
    assert [(own.dataset, own.weights, own.splits) for own in asked] == [
        ("sun", "", ""),
        ("kinetics", "sun.safetensors", ""),
    ]
    assert (extracted[0].dataset, extracted[0].weights) == ("ucf101", ("e2e_r2plus1d=kinetics.safetensors",))


def test_features_of_random_weights_are_made_for_their_row(data, monkeypatch):
    extracted: list = []

    def extract(config, root):
        extracted.append((config.features, config.weights))
        feature = dataclasses.make_dataclass("Feature", ["name"])("made@0")
        return dataclasses.make_dataclass("Report", ["features"])((feature,))

    monkeypatch.setattr(reproducing, "extract", extract)
    (own,) = tables("e2e-practice")
    reproducing._feature(own.rows[0], own.rows[0].configs[0], data)
    assert extracted == [(("efficientnet_lite0_objects",), ("efficientnet_lite0_objects=random:0",))]


def test_of_several_sets_of_one_name_a_row_reads_the_one_that_extraction_makes(data, tmp_path, monkeypatch):
    monkeypatch.setattr(FeatureStore, "resolve", lambda self, name: several(name))
    extracted: list = []

    def several(name):
        raise Ambiguous(f"{name!r} matches 2 feature sets.")

    def extract(config, root):
        extracted.append((config.features, config.weights))
        feature = dataclasses.make_dataclass("Feature", ["name"])("made@0")
        return dataclasses.make_dataclass("Report", ["features"])((feature,))

    monkeypatch.setattr(reproducing, "extract", extract)
    row = tables("e2e-practice")[0].rows[1]
    assert reproducing._feature(row, row.configs[0], data) == "made@0"
    assert extracted == [(("efficientnet_lite0_objects",), ())]
    named = dataclasses.replace(row.configs[0], feature="efficientnet@12")  # by its key: nothing to make
    assert reproducing._feature(row, named, data) == "efficientnet@12"


def test_what_is_set_by_hand_stands_beside_what_is_published(data, tmp_path):
    text = reproduce(table(tmp_path), data, "without", set_by_hand={"feature": "fake_text@", "splits": "1"})
    assert "departs from its paper by" not in reproduce(table(tmp_path), data, "without")
    assert text.count("Every row departs from its paper by: feature fake_text@ for fake_text.") == 1
    for name in ("names", "definitions (ours)"):  # said once, of all
        assert row_of(text, name)[-2] == ""
    assert row_of(text, "definitions (ours)")[5].startswith(("+", "-"))  # of one split: no error to tell
    assert "±" not in row_of(text, "definitions (ours)")[5]


def test_departures_stand_beside_each_number_wherever_it_is_shown(data, tmp_path):
    grids = reproducing.reproduce(table(tmp_path), data, set_by_hand={"splits": "0"})
    (er,) = [judged for grid in grids for judged in grid.rows if judged.row.name == "ER"]
    said = er.departs
    for line in ("feature fake_text (captions) for tsm_resnet50", "objects none for bit_objects", "lr 0.01 for 0.0001"):
        assert line in said.split("; ")
    assert said.endswith("dropout falls on the text's feature in place of its tokens")
    assert row_of(markdown(grids), "ER")[-2] == said
    assert {row["departures"] for row in csv.DictReader(io.StringIO(as_csv(grids))) if row["row"] == "ER"} == {said}
    page = table_page.write("mine.toml", grids, data)
    shown = html.unescape(Path(page.removeprefix("file://")).read_text())
    assert f"Departs from its paper by: {said}." in shown
    own = html.unescape(Path(run_page(er.runs[0], data).removeprefix("file://")).read_text())
    assert f"<dt>departs from its paper by</dt><dd>{said}</dd>" in own


def test_jigsawnets_settings_on_kinetics_stay_with_kinetics():
    own = {"lr=1e-5", "epochs=20"}

    def given(**by_hand: str) -> dict[str, list[set[str]]]:
        rows = [row for one in tables("jigsawnet", by_hand) for row in one.rows]
        configs = [config for row in rows for config in row.configs if config.head == "jigsaw"]
        found: dict[str, list[set[str]]] = {}
        for config in configs:
            found.setdefault(config.dataset, []).append(own & set(config.options))
        return found

    published = given()
    assert set(published) == {"kinetics", "ucf101", "hmdb51"}
    assert all(row == own for row in published["kinetics"])
    assert not any(row for name in ("ucf101", "hmdb51") for row in published[name])
    assert not any(given(dataset="hmdb51", protocol="hmdb51-50")["hmdb51"])
    assert "groups=false" in str([c.options for one in tables("jigsawnet") for r in one.rows for c in r.configs])


def test_captions_need_no_more_than_the_pack_and_two_encoders_are_a_table_of_their_own():
    read = [c.feature for own in tables("ucf101-captions") for row in own.rows for c in row.configs]
    assert set(read) == {"minilm"}
    (own,) = tables("ucf101-two-encoders")
    assert {c.feature for row in own.rows for c in row.configs} == {"minilm", "mpnet_base"}
    assert [len(row.fuse) for row in own.rows if row.fuse] == [2, 2, 4]


@pytest.mark.parametrize("name", ["ucf101-captions", "ucf101-captions-long"])
def test_the_tables_that_come_with_the_code_can_be_read(name):
    found = tables(name)
    assert len(found) > 1
    for own in found:
        names = [row.name for row in own.rows]
        assert len(names) == len(set(names))
        assert not own.reference or own.reference in names
        assert {config.dataset for row in own.rows for config in row.configs} == {"ucf101"}


ROW = 'head = "er", dataset = "d", feature = "f", protocol = "p"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[table]\n", r"cannot be read as TOML: "),
        (f'[[table]]\ntitle = "T"\nrow = [{{ name = "a", speed = 1, {ROW} }}]', r": row 'a' sets speed; known: head, "),
        ('[[table]]\ntitle = "T"\nrow = [{ name = "a", head = "er" }]', r": row 'a' does not say its dataset, "),
        ('[[table]]\ntitle = "T"\nrow = []', r": table 'T' has no rows\.$"),
        ('[[table]]\ntitle = "T"\n', r": table 'T' has no rows\.$"),
        (f'[[table]]\ntitle = "T"\nrow = [{{ {ROW} }}]', r": table 'T' has a row without a name\.$"),
        (f'[[table]]\ntitle = "T"\nrow = [{{ name = "a", folds = 0, {ROW} }}]', r"^folds must be at least 1, got 0\.$"),
        (f'[[table]]\ntitle = "T"\nreference = "b"\nrow = [{{ name = "a", {ROW} }}]', r": table 'T' has no row 'b' "),
        (f'[[table]]\ntitle = "T"\nrow = [{{ name = "a", k = "many", {ROW} }}]', r": row 'a': k should be int, got"),
        (f'[[table]]\ntitle = "T"\nsetting = "x"\nrow = [{{ name = "a", {ROW} }}]', r"is of the setting 'x'; there"),
        (f'[[table]]\ntitle = "T"\nsetting = "gzsl"\nrow = [{{ name = "a", {ROW} }}]', r"for a: set gzsl = true"),
        (f'[[table]]\ntitle = "T"\nrow = [{{ name = "a", {ROW} }}, {{ name = "a", {ROW} }}]', r"rows called 'a'\.$"),
        (f'[[table]]\ntitle = "T"\nrow = [{{ name = "a", {ROW} }}, {{ name = "b", fuse = ["a"] }}]', r"row 'b' fuses"),
        (f'[[table]]\ntitle = "T"\nrow = [{{ name = "b", fuse = ["a", "c"] }}, {{ name = "a", {ROW} }}]', r": a\.$"),
        ('[[table]]\ntitle = "T"\nrow = [{ name = "b", fuse = ["a", "c"], k = 1 }]', r"'b' fuses others and sets k: "),
        (
            f'[[table]]\ntitle = "T"\nrow = [{{ name = "a", seeds = 3, {ROW} }}, {{ name = "c", seeds = 2, {ROW} }}, '
            '{ name = "b", fuse = ["a", "c"] }]',
            r"row 'b' fuses rows of other numbers of seeds: a, c\. Give",
        ),
        ("", r" has no tables\. One begins with \[\[table\]\]\.$"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_understood_is_one_line(tmp_path, root, text, message):
    path = tmp_path / "t.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as told:
        reproduce(str(path), root)
    assert "\n" not in str(told.value)
    assert Runs(root).names() == []


@pytest.mark.parametrize(
    ("shared", "row", "message"),
    [
        ("", "seeds = 0", r"seeds should be a whole number from 1 on, got 0\.$"),
        ("", 'seeds = "two"', r"seeds should be a whole number from 1 on, got 'two'\.$"),
        ("", "seeds = true", r"seeds should be a whole number from 1 on, got True\.$"),
        ("seeds = -1", "k = 0", r"seeds should be a whole number from 1 on, got -1\.$"),
        ("", 'seed = "x"', r"seed should be a whole number from 0 on, got 'x'\.$"),
        ("", "k = true", r"k should be int, got True\.$"),
        ("", "gzsl = 1", r"gzsl should be bool, got 1\.$"),
        ("", "tune = [1]", r"tune should be texts, got 1\.$"),
        ("", 'options = "x=1"', r"options should be a list of texts, got 'x=1'\.$"),
        ('backbone = { model = "f", speed = 1 }', "k = 0", r"backbone sets speed; known: model, dataset, "),
        ('backbone = { model = "of no row", speed = 1 }', "k = 0", r"backbone sets speed; known: model, dataset, "),
        ('backbone = { model = "f", epochs = "1" }', "k = 0", r"backbone: epochs should be int, got '1'\.$"),
        ("backbone = { epochs = 1 }", "k = 0", r"backbone should say its model, .* got {'epochs': 1}\.$"),
        ('backbone = "f"', "k = 0", r"backbone should say its model, .* got 'f'\.$"),
    ],
)
def test_a_value_of_another_type_or_range_is_one_line(tmp_path, root, shared, row, message):
    path = tmp_path / "t.toml"
    path.write_text(f'[all]\n{shared}\n[[table]]\ntitle = "T"\nrow = [{{ name = "a", {row}, {ROW} }}]')
    with pytest.raises(UsageError, match=rf"t\.toml: row 'a': {message}") as told:
        reproduce(str(path), root)
    assert "\n" not in str(told.value)
    assert Runs(root).names() == []


def test_tables_that_are_not_there_are_one_line(tmp_path, root):
    with pytest.raises(
        UsageError, match=r"^No table is called 'mine'; there are: .*ucf101-captions.* A path to a TOML"
    ):
        reproduce("mine", root)
    with pytest.raises(UsageError, match=r"^No table is called '\S+none.toml'"):
        reproduce(str(tmp_path / "none.toml"), root)
    with pytest.raises(UsageError, match=r"has no table whose title holds 'zzz'\.$"):
        reproduce(table(tmp_path), root, "zzz")


# -- lines over how much is learned from ------------------------------------------------------------------------------


@pytest.fixture
def lines(data, tmp_path) -> str:
    path = tmp_path / "lines.toml"
    options = ", ".join(f'"{option}"' for option in studies.ER)
    path.write_text(
        f"""
[all]
dataset = "d"
feature = "fake_text"
protocol = "{studies.protocol(tmp_path)}"
k = 0
workers = 1
device = "cpu"

[[table]]
title = "Classes <b>"
x = "classes"
row = [
  {{ name = "names", head = "nearest", options = ["texts=class"] }},
  {{ name = "ER", head = "er", over = [2, 4], options = [{options}] }},
]
"""
    )
    return str(path)


def test_a_row_over_values_is_a_row_for_each_and_a_line_in_the_page(data, lines):
    (grid,) = reproducing.reproduce(lines, data)
    assert [(own.row.name, own.row.line, own.row.at) for own in grid.rows] == [
        ("names", "", None),
        ("ER, classes 2", "ER", 2.0),
        ("ER, classes 4", "ER", 4.0),
    ]
    assert [{r["sides"][0] for r in own.found["zsl"]} for own in grid.rows[1:]] == [{2}, {4}]
    page = Path(table_page.write(lines, [grid], data).removeprefix("file://")).read_text()
    assert "Classes &lt;b&gt;" in page
    means = [np.mean([r["top1"] for r in own.found["zsl"]]) for own in grid.rows]
    for own, mean in zip(grid.rows[1:], means[1:], strict=True):
        assert f"<title>ER, {own.row.at:g}: {100 * mean:.1f} ± " in page
    assert f"<title>names: {100 * means[0]:.1f} %</title>" in page


def test_csv_has_every_number_as_it_was_judged(data, lines):
    grids = reproducing.reproduce(lines, data)
    rows = list(csv.DictReader(io.StringIO(as_csv(grids))))
    assert len(rows) == 3 * 3  # rows and splits
    of_two = [row for row in rows if row["at"] == "2.0"]
    assert [float(row["top1"]) for row in of_two] == [r["top1"] for r in grids[0].rows[1].found["zsl"]]
    assert {row["seen"] for row in of_two} == {"2"}
    assert rows[0]["table"] == "Classes <b>"
    assert {row["head"] for row in rows} == {"nearest", "er"}


@pytest.mark.parametrize(
    ("was", "now"), [('x = "classes"', 'x = "letters"'), ('x = "classes"', ""), ("over = [2, 4]", "over = 2")]
)
def test_a_row_over_nothing_that_rows_differ_by_is_one_line(data, lines, was, now):
    path = Path(lines)
    path.write_text(path.read_text().replace(was, now))
    with pytest.raises(UsageError, match=r"row 'ER' is over .*of a table whose x is classes, clusters or share\.$"):
        tables(lines)


@pytest.mark.parametrize("name", ["e2e-subsets", "practice-subsets"])
def test_tables_of_subsets_train_each_point_on_its_part(name):
    for table in tables(name):
        points = [row for row in table.rows if row.line]
        assert len(points) == len(table.rows)
        for row in points:
            for config in row.configs:
                assert f"{table.x}={row.at:g}" in [part.replace("=1.0", "=1") for part in config.part]
                assert row.backbone is None or row.backbone.part == config.part
