"""Pickles of numpy arrays in nested dicts, read so that a file chooses numbers and nothing else.

    bytes ──loaded──▶ nested dicts, lists, strings, numbers and `_Array`s ──▶ {joined keys: array}

What numpy itself gives an unpickler is not safe: a dtype takes a state, and one that lies about its size writes outside
its array. So no class of numpy's is handed out. Stand-ins take what numpy writes, and arrays are made here: of a plain
code of a number, a shape and bytes that are as many as both say. The unpickler is Python's own in Python, for the one
in C allocates what a file announces before it is there.
"""

import io
import math
import pickle
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from extractors.errors import BadWeights
from untrusted.limits import Room, Unsafe

#: a damaged pickle fails in as many ways as it has instructions
DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ImportError,
    OverflowError,
    MemoryError,
    RuntimeError,
    struct.error,
)
_CODE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248])")
_PLAIN = (None, None, None, -1, -1, 0)  # of a dtype's state: no fields, no subarray, no size of its own
_DEEPEST, _MOST, _LONGEST_KEY = 16, 1 << 16, 256
_NEVER = {
    code[0]
    for code in (
        *(pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4),
        *(pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
    )
}


def loaded(content: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a pickle by their keys joined with `|`.

    Raises
    ------
    BadWeights
        It names anything but what rebuilds a numpy array of numbers, or holds other things; what stands before the
        message is the reader's.
    Exception
        One of `DAMAGE`: it is no pickle, or a damaged one.
    """
    return _flattened(_Unpickler(io.BytesIO(content)).load())


class _Stand:
    """What a name in a pickle stands for: to be called with what numpy writes, and for nothing else."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise ValueError("a state for what has none")


class _DType:
    """A dtype of numbers, as numpy pickles one: a code, then the order of its bytes."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            shown = repr(code)[:40]
            raise BadWeights(f"should hold numpy arrays of numbers in nested dicts, and has one of {shown}.")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or state[:1] != (3,) or state[2:] != _PLAIN or state[1] not in tuple("<>|="):
            raise BadWeights(f"has a dtype with {str(state)[:60]} of its own, which numbers have no need of.")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array to be, until its state has come."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        version, shape, dtype, is_fortran, content = state
        if version != 1:
            raise ValueError(f"an array of version {version!r}")
        self.array = _array(content, dtype, shape, "F" if is_fortran else "C")


def _array(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """An array of plain parts; ValueError of anything else."""
    if not isinstance(content, bytes | bytearray) or not isinstance(dtype, _DType) or order not in ("C", "F"):
        raise ValueError("an array of other things than bytes, a dtype of numbers and an order")
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("an array whose shape is not whole numbers")
    if math.prod(shape) * dtype.dtype.itemsize != len(content):
        raise ValueError(f"an array of {len(content):,} bytes that says it is {str(shape)[:60]} {dtype.dtype}")
    return np.frombuffer(content, dtype.dtype).reshape(shape, order=order)


def _begun(kind: Any, shape: Any, code: Any) -> _Array:
    """What numpy calls `_reconstruct`: an empty array, whose state comes."""
    return _Array()


def _of_buffer(content: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> _Array:
    """What numpy calls `_frombuffer`, of protocol 5."""
    if axes is not None:
        raise ValueError("an array whose axes are in an order of their own")
    found = _Array()
    found.array = _array(content, dtype, shape, order)
    return found


_MAKERS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _begun,
    ("numpy", "dtype"): _DType,
    **{(f"{package}.multiarray", "_reconstruct"): _begun for package in ("numpy.core", "numpy._core")},
    **{(f"{package}.numeric", "_frombuffer"): _of_buffer for package in ("numpy.core", "numpy._core")},
}


class _Unpickler(pickle._Unpickler):
    """Builds dicts, lists, strings, numbers and stand-ins of arrays; refuses every other global by name."""

    dispatch: ClassVar[dict[int, Callable[..., Any]]] = {
        code: read for code, read in pickle._Unpickler.dispatch.items() if code not in _NEVER
    }

    def find_class(self, module: str, name: str) -> Any:
        if (make := _MAKERS.get((module, name))) is None:
            raise BadWeights(f"names {module}.{name}, which a file of numpy arrays has no need of; it was not run.")
        return _Stand(make)

    def persistent_load(self, pid: Any) -> Any:
        raise BadWeights("refers to objects outside the file, which a file of numpy arrays has no need of.")

    def load_bytearray8(self) -> None:
        """As Python's, which makes room for what is announced before it looks whether it is there."""
        (length,) = struct.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        content = self.read(length)  # type: ignore[attr-defined]
        if len(content) != length:
            raise EOFError("an array that ends early")
        self.append(bytearray(content))  # type: ignore[attr-defined]

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def _flattened(top: Any) -> Iterator[tuple[str, np.ndarray]]:
    waiting: list[tuple[str, Any, int]] = [("", top, 0)]
    count, dicts, room = 0, set(), Room()
    while waiting:
        prefix, node, depth = waiting.pop()
        count += 1
        if depth > _DEEPEST or count > _MOST or id(node) in dicts:  # dicts that hold each other have no end
            raise BadWeights(f"should hold numpy arrays in nested dicts, {_MOST:,} at most and each dict once.")
        if isinstance(node, dict):
            dicts.add(id(node))
            keys = [str(key) if isinstance(key, str | int) else "" for key in node]
            if any(len(key) > _LONGEST_KEY for key in keys):
                raise BadWeights(f"should hold numpy arrays by names of {_LONGEST_KEY} characters at most.")
            named = [f"{prefix}|{key}" if prefix else key for key in keys]
            waiting += [(key, value, depth + 1) for key, value in zip(named, node.values(), strict=True)][::-1]
        elif isinstance(node, _Array) and node.array is not None and node.array.dtype.kind in "fiu" and prefix:
            try:
                room.take(node.array.nbytes, prefix)  # many may be of the same bytes
            except Unsafe as error:
                raise BadWeights(f"{error}.") from error
            yield prefix, node.array.copy(order="K")  # of its own, and to be written to
        else:
            raise BadWeights(f"should hold numpy arrays in nested dicts; at {prefix or 'its top'} there is other data.")
