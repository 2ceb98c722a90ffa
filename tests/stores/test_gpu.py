"""A GPU's part in an index, on a machine that has none: what is chosen, and that what it gives is used rightly."""

import types

import faiss
import numpy as np
import pytest

from stores import gpu, vector_index
from stores.features import FeatureSet, FeatureStore
from stores.root import Root
from stores.vector_index import VectorIndex
from tests.stores.test_vector_index import WIDTH, appended, exactly, made


class Resources:
    def setTempMemory(self, size_bytes: int) -> None:  # noqa: N802  FAISS's name
        self.bytes = size_bytes


def with_gpus(count: int) -> types.SimpleNamespace:
    """FAISS as its GPU build is, on a machine with so many GPUs; an index that is put on one tells where."""

    def moved(resources: Resources, number: int, index: faiss.IndexFlatIP) -> tuple[int, int, int]:
        return resources.bytes, number, index.d

    names = {"StandardGpuResources": Resources, "get_num_gpus": lambda: count, "index_cpu_to_gpu": moved}
    return types.SimpleNamespace(IndexFlatIP=faiss.IndexFlatIP, **names)


@pytest.mark.parametrize(("device", "number"), [("auto", 0), ("cuda", 0), ("cuda:1", 1)])
def test_a_gpu_that_is_there_is_used(device, number):
    assert gpu.flat_on(device, 5, with_gpus(2)) == ((256 << 20, number, 5), "")


@pytest.mark.parametrize(
    ("device", "module", "why"),
    [
        ("cpu", with_gpus(2), ""),
        ("auto", with_gpus(0), ""),
        ("auto", types.SimpleNamespace(), ""),
        ("cuda", types.SimpleNamespace(), "The index is made on the CPU: this FAISS is built without GPUs; `pip "),
        ("cuda", with_gpus(0), "The index is made on the CPU: FAISS sees 0 GPUs here."),
        ("cuda:2", with_gpus(2), "The index is made on the CPU: FAISS sees 2 GPUs here."),
    ],
)
def test_why_there_is_none_is_said_where_one_was_asked_for(device, module, why):
    found, said = gpu.flat_on(device, 5, module)
    assert found is None
    assert said.startswith(why)
    assert bool(said) == bool(why)


@pytest.fixture
def held(root: Root, monkeypatch: pytest.MonkeyPatch) -> FeatureSet:
    monkeypatch.setattr(vector_index, "EXACT_ROWS", 300)
    monkeypatch.setattr(vector_index, "_PART_ROWS", 512)
    monkeypatch.setattr(vector_index, "_BLOCK_ROWS", 100)
    return FeatureStore(root).create("x@ab", {}, "ab", {"features": ((WIDTH,), "float32")})


def test_lists_and_rows_are_as_where_no_gpu_is(root, held, monkeypatch):
    """A GPU whose numbers are the CPU's makes the very same index, and one that grew is as one made at once."""
    rows, queries = made(1500), made(20, seed=1)
    appended(held, rows[:900])
    alone = VectorIndex(root, held)
    expected = alone.search(queries, 10)
    root.remove("indexes")
    stood_in, searched = faiss.IndexFlatIP(WIDTH), []
    monkeypatch.setattr(vector_index, "flat_on", lambda *given: searched.append(given[0]) or (stood_in, ""))
    index = VectorIndex(root, held, device="cuda:1")
    assert searched == ["cuda:1"]
    assert stood_in.ntotal == index.about.lists, "it was asked which list each row is nearest to"
    for own, right in zip(index.search(queries, 10), expected, strict=True):
        assert np.array_equal(own, right)
    appended(held, rows[900:], begin=300)
    grown = VectorIndex(root, held)
    assert grown.added == 600
    found = grown.search(queries, 10)[1]
    right = exactly(rows, queries, 10)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, right, strict=True)]) >= 0.95
    assert grown.search(rows[[5, 1400]], 1)[1][:, 0].tolist() == [5, 1400]
    searched.clear()
    VectorIndex(root, held)
    assert searched == [], "nothing is to be added"


def test_of_few_rows_none_is_asked(root, held, monkeypatch):
    monkeypatch.setattr(vector_index, "flat_on", lambda *given: pytest.fail("an exact index needs no GPU"))
    appended(held, made(200))
    assert len(VectorIndex(root, held, device="cuda")) == 200


def test_a_gpu_asked_for_in_vain_is_told(root, held):
    if hasattr(faiss, "StandardGpuResources"):
        pytest.skip("this FAISS knows GPUs")
    appended(held, made(600))
    assert VectorIndex(root, held, device="cuda").said.startswith("The index is made on the CPU")
    assert VectorIndex(root, held, device="cuda").said == "", "there was nothing to make"


@pytest.mark.gpu
def test_a_real_gpu_makes_an_index_that_finds_as_the_cpus_does(root, held):
    if not getattr(faiss, "get_num_gpus", lambda: 0)():
        pytest.skip("FAISS sees no GPU")
    rows, queries = made(2000), made(50, seed=1)
    appended(held, rows)
    index = VectorIndex(root, held, device="cuda")
    assert index.said == ""
    found, right = index.search(queries, 10)[1], exactly(rows, queries, 10)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, right, strict=True)]) >= 0.95
