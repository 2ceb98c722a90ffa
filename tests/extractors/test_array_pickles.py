"""What a pickle of arrays can make its reader do: arrays, or one line."""

import pickle
import random
from pathlib import Path

import numpy as np
import pytest

from extractors import weights
from extractors.array_pickles import DAMAGE, loaded
from extractors.errors import BadWeights

TREE = {
    "params": {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(3, dtype=">i2")},
    "turned": np.asfortranarray(np.arange(6.0).reshape(3, 2)),
    "half": np.arange(4, dtype=np.float16)[::2],
    "none": np.empty((0, 4), np.uint8),
}


class State:
    """Pickled, it makes something and gives it a state."""

    def __init__(self, function, arguments, state):
        self.call = function, arguments, state

    def __reduce__(self):
        return self.call


def bad(path: Path, content: bytes, match: str) -> None:
    path.write_bytes(content)
    with pytest.raises(BadWeights, match=match) as raised:
        weights.pickled_arrays(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_what_numpy_writes_comes_back(tmp_path, protocol):
    (tmp_path / "w").write_bytes(pickle.dumps({"only": TREE["params"]["w"]} if protocol < 3 else TREE, protocol))
    if protocol < 3:  # bytes of before Python 3 are a call of a codec, which is no array
        bad(tmp_path / "w", (tmp_path / "w").read_bytes(), "names _codecs.encode")
        return
    found = weights.pickled_arrays(tmp_path / "w")
    wanted = {"params|w": TREE["params"]["w"], "params|b": TREE["params"]["b"], **{k: TREE[k] for k in list(TREE)[1:]}}
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


@pytest.mark.parametrize(
    "state",
    [
        (3, "<", None, None, None, 1 << 20, 8, 0),  # a size that lies
        (3, "<", (np.dtype("f8"), (1 << 40,)), None, None, -1, -1, 0),
        (3, "|", None, ("a",), {"a": (np.dtype("f8"), 1 << 30)}, 8, 1, 16),
        (3, "<", None, None, None, -1, -1, 63),  # flags of objects
        (4, "<", None, None, None, -1, -1, 0, {}),
    ],
)
def test_a_dtype_that_has_a_state_of_its_own_is_refused(tmp_path, state):
    content = pickle.dumps({"a": State(np.dtype, ("f8", False, True), state)}, protocol=4)
    bad(tmp_path / "w", content, "of its own")


@pytest.mark.parametrize("code", ["O", "V1048576", "U9", "f8,f8", "M8[s]", "(1000000,1000000)f8", "g", "c8", ["f8"]])
def test_a_dtype_of_other_things_than_numbers_is_refused(tmp_path, code):
    bad(tmp_path / "w", pickle.dumps({"a": State(np.dtype, (code, False, True), None)}), "numpy arrays of numbers")


def made(*state):
    return pickle.dumps({"a": State(np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), state)}, protocol=4)


@pytest.mark.parametrize(
    "state",
    [
        (1, (1 << 50,), np.dtype("f8"), False, b"12345678"),
        (1, (-1,), np.dtype("f8"), False, b"12345678"),
        (1, (1 << 62, 4), np.dtype("f8"), False, b""),
        (1, (True,), np.dtype("f8"), False, b"12345678"),
        (1, (1,), np.dtype("f8"), False, [1.0]),
        (1, (1,), "f8", False, b"12345678"),
        (1, (1,), np.dtype("f8"), False),
        (2, (1,), np.dtype("f8"), False, b"12345678"),
    ],
)
def test_an_array_whose_shape_and_bytes_differ_is_one_line(tmp_path, state):
    bad(tmp_path / "w", made(*state), "pickle of numpy arrays")


def test_arrays_of_the_same_bytes_do_not_add_up_to_more_than_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("ZSAR_MOST_MEMORY", "8M")
    same = np.zeros(1 << 18, np.float32)
    content = pickle.dumps({str(i): same for i in range(100)}, protocol=4)
    assert len(content) < 2 << 20
    bad(tmp_path / "w", content, "asks for 9 MiB of memory")


def test_dicts_without_end_and_bombs_of_dicts_are_one_line(tmp_path):
    ring: dict[str, object] = {}
    ring["again"] = ring
    bad(tmp_path / "w", pickle.dumps(ring), "nested dicts")
    bomb: dict[str, object] = {"a": np.zeros(1)}
    for _ in range(12):
        bomb = {str(i): bomb for i in range(10)}
    bad(tmp_path / "w", pickle.dumps(bomb), "nested dicts")
    bad(tmp_path / "w", pickle.dumps({"k" * 1000: np.zeros(1)}), "names of 256")


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x05\x96" + (1 << 42).to_bytes(8, "little") + b"xx.",  # a bytearray announced and not there
        b"\x80\x04N" + b"r\xff\xff\xff\x7f" + b".",  # a memo place that C's reader makes room up to
        b"\x80\x04\x8e" + (1 << 42).to_bytes(8, "little") + b"xx.",
    ],
)
def test_what_is_announced_and_not_there_takes_no_memory(tmp_path, content):
    bad(tmp_path / "w", content, "pickle of numpy arrays|nested dicts")


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_no_mutation_gives_anything_but_arrays_or_one_line(protocol):
    draw, whole = random.Random(protocol), pickle.dumps(TREE, protocol)
    others = [pickle.dumps(State(np.dtype, ("f8", False, True), (3, "<", None, None, None, 99, 8, 0)), protocol)]
    outcomes = {"read": 0, "refused": 0}
    for _ in range(4000):
        content = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 5))):
            at = draw.randrange(len(content))
            how = draw.randrange(4)
            if how == 0:
                content[at] = draw.randrange(256)
            elif how == 1:
                content[at] ^= 1 << draw.randrange(8)
            elif how == 2:
                del content[at : at + draw.randrange(1, 9)]
            else:
                source = draw.choice((whole, *others))
                start = draw.randrange(len(source))
                content[at:at] = source[start : start + draw.randrange(1, 40)]
        try:
            found = dict(loaded(bytes(content)))
        except (BadWeights, *DAMAGE):
            outcomes["refused"] += 1
            continue
        outcomes["read"] += 1
        for array in found.values():
            assert array.dtype.kind in "fiu"
            assert array.nbytes <= len(content)
            with np.errstate(all="ignore"):
                array.astype(np.float32).sum()
            assert array.flags.writeable
    assert min(outcomes.values()) > 100, outcomes
