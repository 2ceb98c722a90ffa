"""Compare: the numbers as plain loops give them, and the cause in words."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import UsageError
from pipelines.look.compare import CompareReport, compare
from pipelines.look.likeness import cause_of_rows, cosines
from pipelines.look.settings import CompareConfig
from stores.errors import BadFile, NotInStore
from stores.features import FeatureStore, ItemRows
from stores.foreign import Foreign, write_foreign
from stores.root import Root
from tests.pipelines.look.test_export import key, manifest

N = 12


def films(rows: int = 3, dim: int = 16, dtype: str = "float32", seed: int = 0) -> dict[str, np.ndarray]:
    """Features as after a ReLU: a large common mean."""
    random = np.random.default_rng(seed)
    return {f"v{i:02}": (np.abs(random.normal(size=(rows, dim))) + 1).astype(dtype) for i in range(N)}


def store(root: Root, features: dict[str, np.ndarray], name: str) -> None:
    values = next(iter(features.values()))
    made = FeatureStore(root).create(
        name, {"extractor": name}, name, {"features": (values.shape[1:], values.dtype.name)}
    )
    made.append([ItemRows(key(n), {"features": v}) for n, v in features.items()])


def file(path: Path, features: dict[str, np.ndarray]) -> str:
    offsets = np.concatenate([[0], np.cumsum([len(v) for v in features.values()])])
    write_foreign(path, Foreign(list(features), None, np.concatenate(list(features.values())), offsets), "hdf5")
    return str(path)


def run(root: Root, a: dict[str, np.ndarray], b: dict[str, np.ndarray], **options) -> CompareReport:
    manifest(root, {name: name for name in {**a, **b}})
    store(root, a, "a@1")
    store(root, b, "b@1")
    return compare(CompareConfig("a", "b", **{"dataset": "d", **options}), root)


def changed(change, features: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    return {name: change(values) for name, values in (features or films()).items()}


def test_the_numbers_are_those_of_the_formulas_as_plain_loops(root, tmp_path):
    a, b = films(rows=2, dim=5), films(rows=2, dim=5, seed=1)
    report = run(root, a, b, worst=N, out=str(tmp_path / "table.parquet"))
    mean_a = {n: [sum(float(r[d]) for r in v) / len(v) for d in range(5)] for n, v in a.items()}
    mean_b = {n: [sum(float(r[d]) for r in v) / len(v) for d in range(5)] for n, v in b.items()}

    def cosine(x: list[float], y: list[float]) -> float:
        dot = sum(p * q for p, q in zip(x, y, strict=True))
        return dot / (sum(p * p for p in x) * sum(q * q for q in y)) ** 0.5

    def less_mean(means: dict[str, list[float]]) -> dict[str, list[float]]:
        of_all = [sum(m[d] for m in means.values()) / N for d in range(5)]
        return {n: [m[d] - of_all[d] for d in range(5)] for n, m in means.items()}

    centred_a, centred_b = less_mean(mean_a), less_mean(mean_b)
    assert len(report.worst) == N
    for pair in report.worst:
        n = pair.video_id
        assert pair.cosine == pytest.approx(cosine(mean_a[n], mean_b[n]), abs=1e-6)
        assert pair.centred == pytest.approx(cosine(centred_a[n], centred_b[n]), abs=1e-5)
        assert pair.norm_a == pytest.approx(sum(x * x for x in mean_a[n]) ** 0.5, rel=1e-6)
        assert pair.ratio == pytest.approx(pair.norm_a / pair.norm_b)
        of_rows = [cosine(list(map(float, p)), list(map(float, q))) for p, q in zip(a[n], b[n], strict=True)]
        assert pair.row_cosine == pytest.approx(sum(of_rows) / 2, abs=1e-6)
        assert pair.row_cosine_min == pytest.approx(min(of_rows), abs=1e-6)
    centred = [pair.centred for pair in report.worst]
    assert centred == sorted(centred)
    assert report.centred.median == pytest.approx(np.median(centred))
    assert (report.centred.min, report.n, report.dim) == (centred[0], N, 5)
    table = pq.read_table(tmp_path / "table.parquet")
    assert table["video_id"].to_pylist() == sorted(a)
    assert sorted(table["centred"].to_pylist()) == centred


def test_identical_features_are_said_to_be(root):
    report = run(root, films(), films())
    assert (report.cause, report.causes) == ("identical", {"identical": N})
    assert (report.cosine.min, report.centred.over_999, report.ratio) == (1.0, 1.0, 1.0)


def test_float16_rounding_is_told(root):
    report = run(root, films(), changed(lambda v: v.astype(np.float16)))
    assert report.cause == "equal up to float16 rounding"
    assert report.centred.over_999 == 1.0


def test_one_factor_for_all_is_told(root):
    report = run(root, changed(lambda v: v * 2.5), films())
    assert report.cause == "same up to scale: A is 2.5 times B"
    assert report.ratio == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("rows", "words"), [(1, "same up to scale: B is normalised to unit length"), (3, "one is normalised")]
)
def test_normalised_features_are_told(rows, words, root):
    a = {name: values * (1 + i) for i, (name, values) in enumerate(films(rows).items())}
    b = changed(lambda v: v / np.linalg.norm(v, axis=1, keepdims=True), a)
    assert words in run(root, a, b).cause


def test_rows_in_another_order_are_told(root):
    report = run(root, films(rows=4), changed(lambda v: v[[2, 0, 3, 1]], films(rows=4)))
    assert report.cause == "same rows in another order"
    assert report.cosine.min == pytest.approx(1)
    assert report.row_cosine.median < 0.999


def test_other_counts_of_rows_are_told_with_how_close_the_means_are(root):
    report = run(root, films(rows=2), changed(lambda v: v[[0, 1, 0, 1, 0, 1]], films(rows=2)))
    assert report.cause == "rows differ in count (as 2 to 6); the mean rows have a centred cosine of 1.000"
    assert report.row_cosine is None


def test_unrelated_features_are_told_though_their_cosines_are_high(root):
    report = run(root, films(rows=1, dim=512), films(rows=1, dim=512, seed=5))
    assert report.cosine.min > 0.8
    assert abs(report.centred.median) < 0.3
    assert report.cause == "unrelated"


def test_features_under_the_names_of_other_videos_are_told(root):
    names = list(films())
    a = films(dim=64)
    report = run(root, a, {name: a[other] for name, other in zip(names, names[1:] + names[:1], strict=True)})
    assert report.cause == "features of other videos: the names are mixed up"


def test_noise_is_close_or_different_as_it_grows(root, tmp_path):
    random = np.random.default_rng(3)
    close = run(root, films(), changed(lambda v: v + random.normal(size=v.shape).astype("f") * 0.01))
    assert close.cause == "close"
    other = run(Root(tmp_path / "other"), films(), changed(lambda v: v + random.normal(size=v.shape).astype("f") * 0.6))
    assert max(other.causes, key=other.causes.get) == "different"


def test_a_few_videos_that_differ_are_counted_and_listed_first(root):
    b = films()
    b["v03"] = b["v03"][::-1].copy()
    b["v07"] = np.random.default_rng(9).normal(size=b["v07"].shape).astype("f")
    report = run(root, films(), b, worst=2)
    assert report.cause == f"identical ({N - 2} of {N} videos)"
    assert report.causes["same rows in another order"] == 1
    assert report.worst[0].video_id == "v07"
    assert len(report.worst) == 2


def test_nan_is_named_and_kept_out_of_the_summary(root, tmp_path):
    a, b = films(), films()
    b["v05"] = np.full_like(b["v05"], np.nan)
    b["v06"] = b["v06"].copy()
    b["v06"][0, 0] = np.inf
    manifest(root, {name: name for name in a})
    store(root, a, "a@1")
    report = compare(CompareConfig("a", file(tmp_path / "b.h5", b), "d"), root)
    assert report.causes == {"identical": N - 2, "NaN or infinity": 2}
    assert report.cosine.min == 1.0
    assert [(pair.video_id, pair.cosine) for pair in report.worst[:2]] == [("v05", None), ("v06", None)]


def test_what_only_one_side_has_is_named(root, tmp_path):
    a, b = films(), films()
    del a["v01"], b["v02"], b["v03"]
    report = run(root, a, b)
    assert (report.n, report.only_a, report.only_b) == (N - 3, ("v02", "v03"), ("v01",))
    b["stranger"] = b["v05"]
    report = compare(CompareConfig("a", file(tmp_path / "b.h5", b), "d"), root)
    assert (report.n, report.only_a, report.only_b) == (N - 3, ("v02", "v03"), ("stranger", "v01"))


def test_a_file_with_keys_needs_no_data_set(root, tmp_path):
    store(root, films(), "a@1")
    keys = np.stack([np.frombuffer(key(name), np.uint8) for name in films()])
    features = Foreign(list(films()), keys, np.concatenate(list(films().values())), np.arange(0, 3 * N + 1, 3))
    write_foreign(tmp_path / "b.parquet", features, "parquet")
    report = compare(CompareConfig("a", str(tmp_path / "b.parquet")), root)
    assert (report.n, report.cause, report.worst[0].video_id) == (N, "identical", "v00")


def test_a_folder_of_npy_is_compared_by_video_id(root, tmp_path):
    store(root, films(rows=1), "a@1")
    manifest(root, {f"class/{name}": name for name in films()})
    (tmp_path / "er").mkdir()
    for name, values in films(rows=1).items():
        np.save(tmp_path / f"er/{name}.npy", values)
    assert compare(CompareConfig("a", str(tmp_path / "er"), "d"), root).cause == "identical"


def test_sets_of_another_data_set_stay_out(root):
    a = films()
    store(root, a, "a@1")
    store(root, a, "b@1")
    manifest(root, {"v00": "v00", "v01": "v01"})
    assert compare(CompareConfig("a", "b", "d"), root).n == 2
    assert compare(CompareConfig("a", "b"), root).n == N


def test_sets_above_the_memory_budget_give_the_same_report(root, monkeypatch):
    expected = run(root, films(), films(seed=1))
    monkeypatch.setattr("pipelines.look.export._IN_MEMORY_BYTES", 0)
    assert compare(CompareConfig("a", "b", "d"), root) == expected


def test_one_video_has_no_centred_cosine(root):
    report = run(root, {"v": np.ones((1, 3), "f")}, {"v": np.array([[1, 1, 0]], "f")})
    assert report.centred is None
    assert report.cosine.median == pytest.approx((2 / 3) ** 0.5)


def test_zero_vectors_are_equal_to_each_other_and_to_nothing_else(root):
    a = {"u": np.zeros((1, 3), "f"), "v": np.zeros((1, 3), "f"), "w": np.ones((1, 3), "f")}
    report = run(root, a, {**a, "v": np.ones((1, 3), "f")}, worst=3)
    assert {p.video_id: p.cosine for p in report.worst} == {"u": 1.0, "v": 0.0, "w": pytest.approx(1.0)}


def test_rows_of_another_length_are_refused_with_both(root):
    with pytest.raises(
        UsageError, match=r"one length can be compared: a@1 has 16 numbers a row, b@1 has 8. Another --output"
    ):
        run(root, films(dim=16), films(dim=8))


def test_sides_without_a_common_video_are_refused_with_examples(root):
    a, b = films(), {f"w{i}": v for i, v in enumerate(films().values())}
    with pytest.raises(
        UsageError, match=r"a@1 and b@1 have no video in common \(A has 'v00', 'v01' and 10 more; B has 'w0', 'w1'"
    ):
        run(root, a, b)


def test_a_file_that_is_not_there_or_names_nothing_is_refused(root, tmp_path):
    store(root, films(), "a@1")
    with pytest.raises(BadFile, match="There is no file of features"):
        compare(CompareConfig("a", str(tmp_path / "b.h5"), None), root)
    with pytest.raises(NotInStore, match="No feature set matches 'b'"):
        compare(CompareConfig("a", "b", None), root)
    with pytest.raises(UsageError, match=r"no content keys, so it must be known whose ids they are. Name the data set"):
        compare(CompareConfig("a", file(tmp_path / "b.h5", films()), None), root)


vectors = st.integers(0, 2**32).map(lambda seed: np.random.default_rng(seed).normal(size=(2, 6)))


@given(vectors, st.floats(0.1, 10))
def test_scaling_changes_no_cosine_and_cosines_stay_within_one(rows, factor):
    one = cosines(rows, rows[::-1])
    assert np.allclose(one, cosines(rows * factor, rows[::-1]))
    assert (np.abs(one) <= 1 + 1e-12).all()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(6)), st.integers(0, 2**32))
def test_any_order_but_the_own_is_another_order(order, seed):
    rows = np.random.default_rng(seed).normal(size=(6, 32))
    cause = cause_of_rows(rows, rows[list(order)])
    assert cause == ("identical" if list(order) == sorted(order) else "same rows in another order")


def test_a_file_in_another_spelling_is_compared_and_the_rule_is_told(root, tmp_path):
    manifest(root, {name: name for name in films()})
    store(root, films(), "a@1")
    other = {f"train/{name}.mp4": values for name, values in films().items()}
    report = compare(CompareConfig("a", file(tmp_path / "b.h5", other), dataset="d"), root)
    assert (report.n, report.cause, report.matched) == (N, "identical", {"ending, folder": N})
    both = {f"{name}_{stream}": values for name, values in films().items() for stream in ("rgb", "flow")}
    with pytest.raises(UsageError, match=r"c.h5 holds several features a video \(12 ids end in '_rgb'"):
        compare(CompareConfig("a", file(tmp_path / "c.h5", both), dataset="d"), root)
    with pytest.raises(UsageError, match=r"no video in common \(A has 'v00', 'v01' and 10 more; B has 'other'\)"):
        compare(CompareConfig("a", file(tmp_path / "d.h5", {"other": films()["v00"]}), dataset="d"), root)


def test_a_video_without_a_row_in_the_file_is_told_and_the_others_are_compared(root, tmp_path):
    manifest(root, {name: name for name in films()})
    store(root, films(), "a@1")
    other = films() | {"v00": np.zeros((0, films()["v00"].shape[1]), np.float32)}
    report = compare(CompareConfig("a", file(tmp_path / "b.h5", other), dataset="d"), root)
    assert (report.n, report.worst[0].video_id, report.worst[0].rows_b) == (N, "v00", 0)
