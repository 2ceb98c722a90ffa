"""The index of a feature set: as near as an exact search, appended to, and never out of step with its store."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from stores import vector_index
from stores.errors import StoreError, WriteFailed
from stores.features import FeatureSet, FeatureStore, ItemRows
from stores.keys import text_key
from stores.root import Root
from stores.vector_index import VectorIndex, unit

WIDTH = 16


def made(count: int, seed: int = 0) -> np.ndarray:
    """(count, WIDTH) rows about forty centres, as features lie."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(40, WIDTH))
    return (centres[random.integers(0, 40, count)] + 0.5 * random.normal(size=(count, WIDTH))).astype(np.float32)


def appended(feature_set: FeatureSet, rows: np.ndarray, begin: int = 0) -> None:
    """Items of three rows each, the last of what is left."""
    parts = [rows[at : at + 3] for at in range(0, len(rows), 3)]
    feature_set.append([ItemRows(text_key(f"{begin + i}"), {"features": p}) for i, p in enumerate(parts)])


@pytest.fixture
def held(root: Root) -> FeatureSet:
    outputs = {"features": ((WIDTH,), "float32")}
    return FeatureStore(root).create("x@ab", {"outputs": {"features": {"gaps": True}}}, "ab", outputs)


@pytest.fixture
def small_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists from 300 rows on, and parts of 512."""
    monkeypatch.setattr(vector_index, "EXACT_ROWS", 300)
    monkeypatch.setattr(vector_index, "_PART_ROWS", 512)
    monkeypatch.setattr(vector_index, "_BLOCK_ROWS", 100)


def exactly(rows: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    found = []
    for query in queries:
        cosines = [float(row @ query / (np.linalg.norm(row) * np.linalg.norm(query))) for row in rows]
        found.append(sorted(range(len(rows)), key=lambda i: -cosines[i])[:k])
    return np.array(found)


def test_few_rows_are_searched_exactly(root, held):
    rows, queries = made(200), made(20, seed=1)
    appended(held, rows)
    scores, found = VectorIndex(root, held).search(queries, 10)
    assert np.array_equal(found, exactly(rows, queries, 10))
    assert np.allclose(scores[0], unit(rows)[found[0]] @ unit(queries)[0], atol=1e-6)


def test_many_rows_are_found_as_by_exact_search(root, held, small_lists):
    rows, queries = made(2000), made(50, seed=1)
    appended(held, rows)
    index = VectorIndex(root, held)
    assert index.about.lists == 128
    assert len(index.about.parts) == 4
    _, found = index.search(queries, 10)
    right = exactly(rows, queries, 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, right, strict=True)])
    assert recall >= 0.95
    assert np.array_equal(index.search(queries[:1], 10)[1], found[:1]), "one query, searched by several threads"


@pytest.mark.pack
def test_real_vectors_are_found_as_by_exact_search(root, monkeypatch):
    """Of 20,000 words of GloVe, which lie less tidily than features of films: queries are other words."""
    from extractors import word_files
    from extractors.word_vectors import GloVe50d

    file = word_files.opened(GloVe50d().weights_path())
    vectors = file.take(np.arange(20_200))
    rows, queries = vectors[200:], vectors[:200]
    held = FeatureStore(root).create("glove@ab", {}, "ab", {"features": ((50,), "float32")})
    held.append([ItemRows(text_key(str(i)), {"features": row[None]}) for i, row in enumerate(rows)])
    monkeypatch.setattr(vector_index, "EXACT_ROWS", 10_000)
    index = VectorIndex(root, held)
    assert index.about.lists == 512
    _, found = index.search(queries, 10)
    right = np.argsort(-(unit(queries) @ unit(rows).T), 1)[:, :10]
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, right, strict=True)]) >= 0.95


def test_rows_that_come_are_added_and_full_parts_stay(root, held, small_lists, monkeypatch):
    rows = made(1500)
    appended(held, rows[:600])
    first = VectorIndex(root, held)
    assert first.added == 600
    whole = Path(root.path("indexes", "x@ab", "features", first.about.parts[0]))
    before = whole.read_bytes(), whole.stat().st_mtime_ns
    appended(held, rows[600:], begin=200)

    def trained(self, count):
        raise AssertionError("lists are learned once")

    monkeypatch.setattr(VectorIndex, "_trained", trained)
    grown = VectorIndex(root, held)
    assert (grown.added, len(grown), grown.about.snapshot) == (900, 1500, held.snapshot)
    assert (whole.read_bytes(), whole.stat().st_mtime_ns) == before
    names = {name for name in root.names_in("indexes/x@ab/features") if name.startswith("part-")}
    assert names == set(grown.about.parts), "the part that was grown is not kept twice"
    own = grown.search(rows[[5, 700, 1499]], 1)[1][:, 0]
    assert own.tolist() == [5, 700, 1499]


def test_an_index_appended_to_finds_what_one_made_at_once_finds(root, tmp_path, held, small_lists):
    rows, queries = made(1100), made(30, seed=2)
    appended(held, rows[:300])
    assert VectorIndex(root, held).about.lists == 0
    appended(held, rows[300:], begin=100)
    grown = VectorIndex(root, held)
    other = Root(tmp_path / "other")
    once = FeatureStore(other).create("x@ab", {}, "ab", {"features": ((WIDTH,), "float32")})
    appended(once, rows)
    a, b = grown.search(queries, 5), VectorIndex(other, once).search(queries, 5)
    assert np.array_equal(a[1], b[1])
    assert np.array_equal(a[0], b[0])


def test_lists_are_mapped_and_no_thread_reads_them_ahead(root, held, small_lists):
    appended(held, made(700))
    VectorIndex(root, held)
    parts = VectorIndex(root, held)._parts
    lists = [faiss.downcast_InvertedLists(part.invlists) for part in parts]
    assert [type(each) for each in lists] == [faiss.OnDiskInvertedLists] * 2
    assert [each.prefetch_nthread for each in lists] == [0, 0]


def test_opened_again_nothing_is_added(root, held, small_lists):
    appended(held, made(700))
    first = VectorIndex(root, held)
    again = VectorIndex(root, held)
    assert (again.added, again.about) == (0, first.about)


@pytest.mark.parametrize("count", [250, 1200])
def test_only_rows_that_are_allowed_are_found(root, held, small_lists, count):
    rows, queries = made(count), made(20, seed=3)
    appended(held, rows)
    allowed = np.random.default_rng(0).random(count) < 0.05
    index = VectorIndex(root, held)
    scores, found = index.search(queries, 5, index.among(allowed))
    kept = np.flatnonzero(allowed)
    assert np.isin(found, kept).all()
    right = kept[exactly(rows[kept], queries, 5)]
    assert np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, right, strict=True)]) >= 0.95
    scores, found = index.search(queries, 5, index.among(np.arange(count) < 2))
    assert (found[:, 2:] == -1).all()
    assert np.isneginf(scores[:, 2:]).all()


def test_rows_that_may_be_found_are_those_of_a_mask_as_far_as_it_reaches(root, held):
    appended(held, made(20))
    index = VectorIndex(root, held)
    assert index.among(np.ones(20, bool)) is None
    assert index.among(np.ones(30, bool)) is None
    some = index.among(np.arange(9) > 3)
    assert some is not None
    assert some.count == 5
    assert sorted(index.search(made(1, seed=1), 20, some)[1][0])[-5:] == [4, 5, 6, 7, 8]
    none = index.among(np.zeros(20, bool))
    assert (index.search(made(1, seed=1), 3, none)[1] == -1).all()


def test_what_rounding_leaves_in_doubt_is_as_large_as_its_errors_are(root, held, small_lists):
    rows, queries = made(2000), made(40, seed=1)
    appended(held, rows)
    index = VectorIndex(root, held)
    scores, found = index.search(queries, 200)
    errors = [
        (score - unit(rows)[own] @ unit(queries)[number]) / index.doubt(query)
        for number, (query, score, own) in enumerate(zip(queries, scores, found, strict=True))
    ]
    assert 0.5 < np.std(errors) * 8 < 1.5
    assert np.abs(errors).max() < 0.75, "no two are taken for another's place"


def test_an_exact_index_leaves_nothing_in_doubt(root, held):
    appended(held, made(30))
    assert VectorIndex(root, held).doubt(made(1)[0]) == 0


def test_rows_that_were_rewritten_are_indexed_anew(root, held):
    rows = made(90)
    appended(held, rows)
    VectorIndex(root, held)
    fresh = made(3, seed=5) * 4
    held.repair({10: ItemRows(text_key("10"), {"features": fresh})})
    index = VectorIndex(root, held)
    assert index.added == 90
    assert index.search(fresh, 1)[1][:, 0].tolist() == [30, 31, 32]


def test_a_cache_that_may_only_be_read_is_searched_all_the_same(root, held, small_lists, monkeypatch):
    rows = made(900)
    appended(held, rows)

    def refuse(self, *parts):
        raise WriteFailed("no")

    monkeypatch.setattr(Root, "new_file", refuse)
    monkeypatch.setattr(Root, "lock", refuse)
    index = VectorIndex(root, held)
    assert index.search(rows[[5, 800]], 1)[1][:, 0].tolist() == [5, 800]
    assert not root.exists("indexes", "x@ab")


def test_who_is_not_to_write_finds_what_came_since_and_leaves_the_index_as_it_was(root, held, small_lists):
    rows = made(900)
    appended(held, rows[:600])
    VectorIndex(root, held)
    folder = Path(root.path("indexes", "x@ab", "features"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    appended(held, rows[600:], begin=200)
    index = VectorIndex(root, held, keep=False)
    assert index.added == 300
    assert index.search(rows[[5, 800]], 1)[1][:, 0].tolist() == [5, 800]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert VectorIndex(root, held).added == 300


def test_gaps_and_rows_of_nought_are_near_to_nothing(root, held):
    rows = made(30)
    rows[4], rows[5] = np.nan, 0
    appended(held, rows)
    scores, found = VectorIndex(root, held).search(made(1, seed=1), 30)
    assert np.isfinite(scores).all()
    assert scores[0][np.isin(found[0], [4, 5])].tolist() == [0, 0]


def test_what_is_no_vector_is_refused(root, held):
    appended(held, made(9))
    with pytest.raises(StoreError, match="A query has 4 numbers, rows of x@ab have 16"):
        VectorIndex(root, held).search(np.ones((1, 4)), 1)
    ids = FeatureStore(root).create("y@ab", {}, "ab", {"ids": ((2,), "int32")})
    with pytest.raises(StoreError, match="holds int32, which is no vector"):
        VectorIndex(root, ids, "ids")


def test_an_empty_set_finds_nothing(root, held):
    scores, rows = VectorIndex(root, held).search(made(2), 3)
    assert (rows == -1).all()
    assert np.isneginf(scores).all()


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "lists"])
@pytest.mark.parametrize("how", ["lost", "cut", "flipped", "no index.json", "index.json", "other index.json"])
def test_an_index_that_is_damaged_is_made_anew(root, held, monkeypatch, exact, how):
    if not exact:
        monkeypatch.setattr(vector_index, "EXACT_ROWS", 64)
    rows = made(200)
    appended(held, rows)
    index = VectorIndex(root, held)
    expected = index.search(rows[:5], 3)
    (name,) = index.about.parts
    path = Path(root.path("indexes", "x@ab", "features", "index.json" if "json" in how else name))
    content = bytearray(path.read_bytes())
    if how in ("lost", "no index.json"):
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        if not exact:
            pytest.skip("of lists, candidates are compared by their stored rows")
        content[-30] ^= 1 << 6
        path.write_bytes(content)
    else:
        path.write_text("{" if how == "index.json" else '{"items": 200, "rows": 7, "format": 1}')
    again = VectorIndex(root, held)
    assert again.added == 200
    for found, wanted in zip(again.search(rows[:5], 3), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert VectorIndex(root, held).added == 0


def test_who_opened_a_part_that_was_grown_since_finds_the_new_one(root, held, monkeypatch):
    rows = made(60)
    appended(held, rows[:30])
    VectorIndex(root, held)
    reading = VectorIndex._read
    grown = []

    def grown_meanwhile(self, name, to_grow=False):
        if not grown:
            grown.append(True)
            appended(held, rows[30:], begin=10)
            VectorIndex(root, held)
        return reading(self, name, to_grow)

    monkeypatch.setattr(VectorIndex, "_read", grown_meanwhile)
    assert VectorIndex(root, held).search(rows[[40]], 1)[1].tolist() == [[40]]
