"""Audits: what was planted is found, by rules that stand here again as plain loops."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pipelines.command.main import app
from pipelines.errors import UsageError
from pipelines.look.audit import blind, disagree, duplicates, labels, outliers
from pipelines.look.audit.audit import audit
from pipelines.look.audit.clips import Clips, clips
from pipelines.look.audit.page import page
from pipelines.look.settings import AuditConfig
from stores.errors import NotInStore
from stores.features import FeatureStore, ItemRows
from stores.keys import text_key
from stores.manifest import SCHEMA, Manifest
from stores.root import Root

CLASSES, EACH, WIDTH = 4, 20, 48


def planted(root: Root, changes: dict[int, dict] | None = None, vectors: dict[int, np.ndarray] | None = None) -> None:
    """Eighty videos about four classes, with some rows of the manifest and some vectors as they are given."""
    random = np.random.default_rng(3)
    centres = random.normal(size=(CLASSES, WIDTH))
    rows, made = [], []
    for number in range(CLASSES * EACH):
        own = centres[number % CLASSES] + random.normal(size=(2, WIDTH))
        own = own if vectors is None or number not in vectors else vectors[number](centres, made)
        row = {
            "dataset": "d",
            "video_id": f"v{number:02d}",
            "kind": "video",
            "uri": f"/v/{number}.mp4",
            "key": text_key(str(number)),
            "label": f"class {number % CLASSES}",
            "split": "train" if number < 60 else "test",
        }
        rows.append(row | (changes or {}).get(number, {}))
        made.append(own)
    Manifest(root).write("d", pa.Table.from_pylist(rows, schema=SCHEMA))
    store = FeatureStore(root).create("x@ab", {"extractor": "x"}, "ab", {"features": ((WIDTH,), "float32")})
    once = {row["key"]: own for row, own in zip(rows, made, strict=True)}
    times = np.array([[0, 1], [1, 2]], np.float32)
    store.append([ItemRows(key, {"features": own.astype(np.float32)}, times) for key, own in once.items()])


def found(root: Root, **options) -> dict[str, list[dict]]:
    rows = audit(AuditConfig("d", **options), root).table.to_pylist()
    kinds = dict.fromkeys(row["kind"] for row in rows)
    return {kind: [row for row in rows if row["kind"] == kind] for kind in kinds}


def nearly(of: int):
    return lambda centres, made: made[of] + 0.01


def test_a_sound_data_set_gives_no_doubts(root):
    planted(root)
    assert found(root) == {}


def test_copies_are_told_by_what_is_worst_of_them(root):
    vectors = {40: nearly(0), 41: nearly(1), 62: nearly(2)}
    same = {"key": text_key("7"), "label": "class 3"}
    planted(root, {41: {"label": "class 2"}, 67: same}, vectors)
    kinds = found(root)
    pairs = {
        kind: {(row["video_id"], row["other"]) for row in kinds.get(kind, [])}
        for kind in ("duplicate", "conflict", "leak")
    }
    assert pairs == {
        "duplicate": {("v40", "v00")},
        "conflict": {("v41", "v01")},
        "leak": {("v62", "v02"), ("v67", "v07")},
    }
    leak = {row["video_id"]: row for row in kinds["leak"]}
    assert leak["v67"]["why"] == "the same bytes, in test and train"
    assert (leak["v62"]["split"], leak["v62"]["other_split"]) == ("test", "train")
    assert kinds["conflict"][0]["why"].endswith("as class 2 and class 1")


def test_two_that_are_each_others_nearest_by_far_are_one_and_takes_are_not(root):
    def half_way(centres, made):  # much nearer to v00 than any other video of its class, yet far from equal
        return made[0] + 0.4 * np.random.default_rng(0).normal(size=(2, WIDTH))

    planted(root, vectors={40: half_way})
    (pair,) = found(root)["duplicate"]
    assert (pair["video_id"], pair["other"]) == ("v40", "v00")
    assert 0.8 < pair["score"] < 0.99


def of_vectors(vectors: np.ndarray, **columns) -> Clips:
    names = {"video_id": [f"v{n}" for n in range(len(vectors))], "key": [text_key(str(n)) for n in range(len(vectors))]}
    rows = [
        dict(zip((names | columns).keys(), row, strict=True)) for row in zip(*(names | columns).values(), strict=True)
    ]
    lengths = np.linalg.norm(vectors, axis=1)
    return Clips(pa.Table.from_pylist(rows, schema=SCHEMA), (vectors / lengths[:, None]).astype(np.float32), lengths, 0)


def test_pairs_are_those_that_plain_loops_find():
    random = np.random.default_rng(1)
    vectors = random.normal(size=(30, 5)).astype(np.float32)
    vectors[7], vectors[9] = vectors[3] + 0.01, vectors[4] + 0.2
    own = of_vectors(vectors)
    cosine = own.vectors.astype(float) @ own.vectors.T.astype(float)
    expected = set()
    for a in range(30):
        order = sorted((b for b in range(30) if b != a), key=lambda b: -cosine[a, b])
        first, second = order[:2]
        back = max((b for b in range(30) if b != first), key=lambda b: cosine[first, b])
        near = 1 - cosine[a, first] <= 0.4 * (1 - cosine[a, second]) and cosine[a, first] >= 0.8
        if back == a and near:
            expected.add(frozenset((a, first)))
        expected |= {frozenset((a, b)) for b in range(30) if b != a and cosine[a, b] >= 0.99}
    group = duplicates.groups(own, *own.neighbours(29), 0.99)
    assert {frozenset(np.flatnonzero(group == top)) for top in set(group) if (group == top).sum() > 1} == expected
    assert frozenset((3, 7)) in expected


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("train", "test", True),
        ("train", "train", False),
        ("train", None, False),
        ("1:train,2:test", "1:train,2:test,3:train", False),
        ("1:train,2:test", "1:train,2:train", True),
        ("1:train", "2:test", False),
    ],
)
def test_splits_are_apart_where_one_numbering_has_them_on_two_sides(one, other, apart):
    assert duplicates._apart(one, other) is apart


def test_a_recording_in_two_splits_is_a_leak(root):
    planted(root, {5: {"recording": "film"}, 66: {"recording": "film"}, 10: {"recording": "b"}, 11: {"recording": "b"}})
    (leak,) = found(root)["leak"]
    assert {leak["video_id"], leak["other"]} == {"v05", "v66"}
    assert leak["why"] == "2 clips of the recording film in two splits"


def test_wrong_labels_are_found_with_the_right_one(root):
    wrong = {4: "class 2", 9: "class 3", 55: "class 0"}
    planted(root, {number: {"label": label} for number, label in wrong.items()})
    rows = found(root)["label"]
    assert {row["video_id"]: row["suggested"] for row in rows} == {"v04": "class 0", "v09": "class 1", "v55": "class 3"}
    assert rows[0]["score"] >= rows[-1]["score"]


def test_clips_of_one_film_do_not_vouch_for_each_other(root):
    film = {number: {"label": "class 1", "recording": "film"} for number in (0, 4, 8, 12, 16, 20, 24)}
    planted(root, film)
    assert {row["video_id"] for row in found(root, neighbours=5)["label"]} >= {"v00", "v04", "v08", "v12"}


def test_shares_and_thresholds_are_those_of_plain_loops():
    random = np.random.default_rng(5)
    own = random.integers(-1, 3, 40)
    others = np.array([[b for b in random.permutation(40) if b != a][:12] for a in range(40)])
    cosines = np.sort(random.random((40, 12)).astype(np.float32))[:, ::-1] - 0.2
    films = np.arange(40) // 2
    got = labels.shares(own, others, cosines, films, 5, 3)
    for a in range(40):
        votes, asked = np.zeros(3), 0
        for b, cosine in zip(others[a], cosines[a], strict=True):
            if asked < 5 and own[b] >= 0 and films[b] != films[a]:
                votes[own[b]] += max(cosine, 0)
                asked += 1
        assert np.allclose(got[a], votes / votes.sum() if votes.sum() else votes, atol=1e-6)
    best = labels.confident(got, own)
    thresholds = [np.mean([got[a, j] for a in range(40) if own[a] == j]) for j in range(3)]
    for a in range(40):
        reached = [j for j in range(3) if got[a, j] >= thresholds[j]]
        assert best[a] == (max(reached, key=lambda j: got[a, j]) if reached else -1)


def test_the_classifier_is_ridge_regression_fitted_without_the_film_it_judges():
    random = np.random.default_rng(2)
    vectors, own = random.normal(size=(30, 6)).astype(np.float32), random.integers(0, 3, 30)
    films = np.repeat(np.arange(10), 3)
    got = labels.held_out(vectors, own, films, 3)
    fold = np.random.RandomState(0).permutation(10)[films] % 5
    for number in range(5):
        x, y = vectors[fold != number].astype(float), np.where(np.eye(3)[own[fold != number]] > 0, 1.0, -1.0)
        weights = np.linalg.inv((x - x.mean(0)).T @ (x - x.mean(0)) + np.eye(6)) @ (x - x.mean(0)).T @ (y - y.mean(0))
        expected = (vectors[fold == number] - x.mean(0)) @ weights + y.mean(0)
        assert np.allclose(got[fold == number], np.clip((expected + 1) / 2, 0, 1), atol=1e-4)


def test_the_smaller_of_two_systems_gives_the_same_classifier():
    random = np.random.default_rng(2)
    narrow = random.normal(size=(30, 6)).astype(np.float32)
    wide = np.concatenate([narrow, np.zeros((30, 60), np.float32)], 1)
    own, films = random.integers(0, 3, 30), np.arange(30)
    assert np.allclose(labels.held_out(narrow, own, films, 3), labels.held_out(wide, own, films, 3), atol=1e-4)


def overlapping(wrong: dict[int, int], one_way: int = 0, classes: int = 6, each: int = 60) -> tuple[np.ndarray, ...]:
    """Shares, what a classifier says, and labels of videos whose classes 0 and 1 cannot be told apart."""
    random = np.random.default_rng(8)
    true = np.repeat(np.arange(classes), each)
    centres = 2 * random.normal(size=(classes, 12))
    centres[1] = centres[0]
    clips = of_vectors((centres[true] + random.normal(size=(len(true), 12))).astype(np.float32))
    own = true.copy()
    own[list(wrong)] = list(wrong.values())
    own[np.flatnonzero(true == 4)[:one_way]] = 5
    others, cosines = clips.neighbours(60)
    films = np.arange(len(true))
    near = labels.shares(own, others, cosines, films, 10, classes)
    return near, labels.held_out(clips.vectors, own, films, classes), own


def test_blind_labels_are_likely_by_the_formula_in_plain_loops():
    near, said, own = overlapping({130: 5, 200: 0, 320: 2})
    own[7] = -1
    got = blind.blind(near.astype(np.float32), said.astype(np.float32), own, 10)
    for at in range(len(own)):
        if own[at] < 0:
            assert (got.probability[at], got.other[at]) == (0, -1)
            continue
        z = [got.classifier * said[at, j] + got.neighbours * np.log((10 * near[at, j] + 1 / 6) / 11) for j in range(6)]
        q = [np.exp(each) / sum(np.exp(other) for other in z) for each in z]
        even = got.share / 6
        assert np.isclose(got.probability[at], even / ((1 - got.share) * q[own[at]] + even), atol=1e-4)
        assert got.other[at] == max(range(6), key=lambda j: q[j])


def test_what_is_learned_is_likeliest_given_the_labels():
    near, said, own = overlapping({130: 5, 200: 0, 320: 2, 250: 1, 350: 3})
    got = blind.blind(near, said, own, 10)
    judges = np.stack(blind._judges(near, said, 10))
    best = np.array([got.classifier, got.neighbours, np.log(got.share / (1 - got.share))])

    def unlikely(given: np.ndarray) -> float:
        total = 0.0
        for at in range(len(own)):
            z = given[0] * judges[0, at] + given[1] * judges[1, at]
            q = np.exp(z[own[at]]) / np.exp(z).sum()
            share = 1 / (1 + np.exp(-given[2]))
            total -= np.log((1 - share) * q + share / 6) / len(own)
        return total - 20 * np.log(1 - share) / len(own)

    for at in (best, np.array([3.0, 0.5, -2.0])):
        value, gradient = blind._unlikely(at, judges, own)
        assert np.isclose(value, unlikely(at))
        for place in range(3):
            step = np.eye(3)[place] * 1e-5
            assert np.isclose(gradient[place], (unlikely(at + step) - unlikely(at - step)) / 2e-5, atol=1e-6)
    assert all(unlikely(best + step) >= unlikely(best) for step in np.concatenate([np.eye(3), -np.eye(3)]) * 0.2)


def test_classes_that_cannot_be_told_apart_are_not_doubted_and_blind_labels_are():
    wrong = {130: 5, 200: 0, 320: 2, 250: 1, 350: 3}
    near, said, own = overlapping(wrong)
    got = blind.blind(near, said, own, 10)
    assert set(np.flatnonzero(got.probability >= 0.2)) == set(wrong)
    assert 0.005 < got.share < 0.04  # of 5 of 360
    assert [got.other[at] for at in wrong] == [at // 60 for at in wrong]
    best = labels.confident((near + said) / 2, own)
    assert ((best != own) & (best >= 0))[:120].sum() > 20  # whom confident learning doubts


def test_labels_that_are_wrong_in_one_way_are_left_to_confident_learning(root):
    near, said, own = overlapping({}, one_way=20)
    got = blind.blind(near, said, own, 10)
    moved = np.flatnonzero(own != np.repeat(np.arange(6), 60))
    assert (got.probability[moved] >= 0.2).sum() < 5
    assert (labels.confident((near + said) / 2, own)[moved] == 4).sum() > 15
    planted(root, {number: {"label": "class 1"} for number in range(0, 24, 4)})  # six of one class as another
    kinds = found(root)
    doubted = {row["video_id"] for kind in ("label", "ambiguous") for row in kinds.get(kind, [])}
    own = clips(FeatureStore(root).find("x"), "d", root, "features")
    others, cosines = own.neighbours(60)
    named = np.array([int(label[-1]) for label in own.column("label")])
    near = labels.shares(named, others, cosines, np.arange(80), 10, 4)
    said = (near + labels.held_out(own.vectors, named, np.arange(80), 4)) / 2
    best = labels.confident(said, named)
    likelier = [at for at in range(80) if best[at] >= 0 and said[at, best[at]] > said[at, named[at]]]
    assert {own.column("video_id")[at] for at in likelier} <= doubted
    assert len(doubted & {f"v{number:02d}" for number in range(0, 24, 4)}) >= 4


@pytest.mark.parametrize("count", [6, 32, 400])
def test_where_features_know_nothing_no_label_is_doubted(count):
    random = np.random.default_rng(0)
    clips = of_vectors(random.normal(size=(count, 8)).astype(np.float32))
    own, films = random.integers(0, 2, count), np.arange(count)
    near = labels.shares(own, *clips.neighbours(60), films, 10, 2)
    got = blind.blind(near, labels.held_out(clips.vectors, own, films, 2), own, 10)
    assert (got.probability < 0.2).all()


def test_few_labels_are_no_trouble_to_learn_from():
    for own in (np.array([0, 1, -1]), np.array([0, 0, 1, 1])):
        got = blind.blind(np.zeros((len(own), 2)), np.full((len(own), 2), 0.5), own, 3)
        assert np.isfinite(got.probability).all()
        assert (got.probability < 0.2).all()


def test_what_is_far_from_all_is_an_outlier(root):
    planted(root, vectors={30: lambda centres, made: np.full((2, WIDTH), 30.0)})
    (row,) = found(root)["outlier"]
    assert row["video_id"] == "v30"
    assert row["score"] > 3.5


def test_outliers_are_scored_by_distance_median_and_mad():
    random = np.random.default_rng(4)
    vectors = random.normal(size=(25, 4)).astype(np.float32)
    own = of_vectors(vectors)
    others, cosines = own.neighbours(3)
    got = outliers.scores(own, others, cosines, np.arange(25), 3)
    means = np.array([np.mean([np.linalg.norm(vectors[a] - vectors[b]) for b in others[a]]) for a in range(25)])
    spread = 1.4826 * np.median(np.abs(means - np.median(means)))
    assert np.allclose(got, (means - np.median(means)) / spread, atol=1e-3)


def test_a_vector_is_the_mean_over_segments_less_the_mean_of_all(root):
    planted(root)
    own = clips(FeatureStore(root).find("x"), "d", root, "features")
    held = FeatureStore(root).find("x")
    rows = np.concatenate(list(held.scan("features"))).reshape(-1, 2, WIDTH).mean(1)
    at = {key.tobytes(): n for n, key in enumerate(held.keys())}
    means = rows[[at[key] for key in own.table["key"].to_pylist()]]
    means = means - means.mean(0)
    assert np.allclose(own.vectors, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-5)
    others, cosines = own.neighbours(5)
    brute = own.vectors @ own.vectors.T
    np.fill_diagonal(brute, -9)
    assert np.allclose(np.sort(brute, 1)[:, ::-1][:, :5], cosines, atol=1e-5)
    assert (others != np.arange(len(own))[:, None]).all()


def judged(root: Root, run: str, best: dict[tuple[int, str], str], label: str = "class 0") -> None:
    about = {"videos": {"dataset": "d"}}
    root.write_text(json.dumps(about), "runs", run, "run.json")
    rows = [
        {"setting": "zsl", "split": split, "video_id": name, "label": label, "best": [told], "scores": [1.0]}
        for (split, name), told in best.items()
    ]
    root.write_table(pa.Table.from_pylist(rows), "runs", run, "judged.parquet")


def test_clips_on_which_two_runs_disagree_are_counted_over_splits(root):
    planted(root)
    judged(root, "one", {(0, "v00"): "class 0", (1, "v00"): "class 0", (0, "v04"): "class 1", (0, "v08"): "class 0"})
    judged(root, "two", {(0, "v00"): "class 1", (1, "v00"): "class 0", (0, "v04"): "class 2", (0, "v08"): "class 0"})
    rows = {row["video_id"]: row for row in found(root, runs=("one", "two"))["disagree"]}
    assert set(rows) == {"v00", "v04"}
    assert (rows["v00"]["score"], rows["v04"]["score"]) == (0.5, 0)
    assert rows["v00"]["why"].endswith("of 2 splits the first alone is right in 1, the second in 0")


def test_runs_that_cannot_be_compared_are_refused(root):
    planted(root)
    judged(root, "one", {(0, "v00"): "class 0"})
    judged(root, "two", {(1, "v00"): "class 0"})
    for runs, message in ((("one",), "Two runs disagree; got 1"), (("one", "two"), "no split and video in common")):
        with pytest.raises(UsageError, match=message):
            audit(AuditConfig("d", runs=runs), root)
    root.write_text(json.dumps({"videos": {"dataset": "e"}}), "runs", "two", "run.json")
    with pytest.raises(UsageError, match="two was judged on 'e', and the audit is of 'd'"):
        audit(AuditConfig("d", runs=("one", "two")), root)
    assert disagree._SETTING == "zsl"


def test_a_question_that_cannot_be_answered_is_one_line(root):
    with pytest.raises(NotInStore, match="No data set is called 'd'"):
        audit(AuditConfig("d"), root)
    planted(root)
    with pytest.raises(NotInStore, match="has no output 'logits'"):
        audit(AuditConfig("d", feature="x", output="logits"), root)
    for wrong, message in (({"near": 1.5}, "cosine between 0 and 1"), ({"neighbours": 0}, "at least 1")):
        with pytest.raises(UsageError, match=message):
            AuditConfig("d", **wrong)


def test_the_command_prints_json_csv_and_a_page_with_the_clips(root, tmp_path):
    planted(root, {41: {"label": "class 2"}}, {41: nearly(1)})
    told = CliRunner().invoke(app, ["audit", "d", "--root", root.url, "--json", "--html"])
    answer = json.loads(told.stdout.splitlines()[-1])
    assert answer["counts"]["conflict"] == 1
    assert answer["findings"][0]["video_id"] == "v41"
    html = (tmp_path / "root/reports/audit/d-x-ab.html").read_text()
    assert answer["page"].endswith("reports/audit/d-x-ab.html")
    assert "v41" in html
    assert "1 near duplicates with different labels" in html
    CliRunner().invoke(app, ["audit", "d", "--root", root.url, "--csv", str(tmp_path / "a.csv")])
    assert (tmp_path / "a.csv").read_text().splitlines()[1].startswith("conflict,v41,class 2,train")


def test_the_page_shows_frames_of_films_at_their_time(root, videos):
    manifest = Manifest(root).read("d")
    store = FeatureStore(root).create("x@ab", {"extractor": "x"}, "ab", {"features": ((4,), "float32")})
    random = np.random.default_rng(0)
    rows = [random.normal(size=(1, 4)).astype(np.float32) for _ in range(manifest.num_rows)]
    rows[1] = rows[0] + 0.001
    keys = manifest["key"].to_pylist()
    store.append([ItemRows(key, {"features": row}, None) for key, row in zip(keys, rows, strict=True)])
    url = page(audit(AuditConfig("d"), root), root)
    html = Path(url.removeprefix("file://")).read_text()
    assert html.count("data:image/jpeg") >= 6
    assert manifest["uri"][0].as_py() in html
