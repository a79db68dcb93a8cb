"""Arrays of every datatype, for programs that may import nothing but numpy."""

import numpy as np


def arrays():
    """One [2, 2] array for each datatype, with its extreme values."""
    made = {"BOOL": np.array([[True, False], [False, True]])}
    for kind in ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"):
        limits = np.iinfo(kind)
        made[kind.upper()] = np.array([[limits.min, 0], [1, limits.max]], dtype=kind)
    for name, kind in (("FP16", "float16"), ("FP32", "float32"), ("FP64", "float64")):
        made[name] = np.array([[0.5, -1], [np.finfo(kind).max, 0.1]], dtype=kind)
    made["BYTES"] = np.array([["", "a"], ["héllo", "日本"]], dtype=object)
    return made


def columns():
    """One column of two rows for each MLflow type, as datatype and array."""
    return {
        "number": ("FP64", np.array([1.5, 2.5])),
        "small": ("FP32", np.array([1.5, 2.5], dtype=np.float32)),
        "count": ("INT64", np.array([1, 2], dtype=np.int64)),
        "index": ("INT32", np.array([1, 2], dtype=np.int32)),
        "flag": ("BOOL", np.array([True, False])),
        "text": ("BYTES", np.array(["a", "é"], dtype=object)),
        "day": ("BYTES", np.array(["2026-01-02", "2026-01-03T04:05:06"], dtype=object)),
        "blob": ("BYTES", np.array([b"\xff\x00", b"b"], dtype=object)),
    }


def same(one, other):
    """Whether two arrays hold the same, text and its UTF-8 bytes being the same."""
    if one is None or list(np.shape(one)) != list(np.shape(other)):
        return False
    if np.asarray(other).dtype != object:
        return bool(np.array_equal(one, other)) and np.asarray(one).dtype == np.asarray(other).dtype

    def as_bytes(array):
        return [item.encode() if isinstance(item, str) else item for item in np.asarray(array).reshape(-1).tolist()]

    return as_bytes(one) == as_bytes(other)
