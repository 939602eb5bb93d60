"""What a pickle would import, told without loading it, also when it is made to hide that."""

import _compat_pickle
import contextlib
import functools
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import textwrap

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from holdfast.models._pickle_risks import carried_code, suspicions
from holdfast.models._pickle_scan import scan_pickle

X, Y = np.random.default_rng(0).random((60, 3)), np.arange(60) % 2


def text(value: str) -> bytes:
    data = value.encode()
    return b"\x8c" + bytes((len(data),)) + data


class Anything:
    """Stands for whatever a pickle refers to, and does nothing."""

    def __new__(cls, *args, **kwargs):  # noqa: ARG004
        return object.__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def __call__(self, *args, **kwargs):
        return self

    def append(self, item):
        pass


class Recording(pickle.Unpickler):
    """Loads without doing harm, and tells what was asked for."""

    def __init__(self, data):
        super().__init__(io.BytesIO(data))
        self.found = []

    def find_class(self, module, name):
        self.found.append((module, name))
        return type("Anything", (Anything,), {})


def asked_for(data: bytes) -> set[str]:
    """What the unpickler itself asks for, by the names of Python 3."""
    unpickler = Recording(data)
    with contextlib.suppress(Exception):
        unpickler.load()
    return {".".join(modern(module, name)) for module, name in unpickler.found}


def modern(module: str, name: str) -> tuple[str, str]:
    mapped = _compat_pickle.IMPORT_MAPPING.get(module, module)
    return _compat_pickle.NAME_MAPPING.get((module, name), (mapped, name))


def told(content) -> set[str]:
    return {".".join(modern(*item)) for item in content.globals if item.module}


CASES = {
    "plain": b"cos\nsystem\n(S'true'\ntR.",
    "protocol 4": b"\x80\x04" + text("os") + text("system") + b"\x93" + text("true") + b"\x85R.",
    "INST": b"(S'true'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'true'\no.",
    "names from the memo": b"\x80\x04"
    + text("os") + b"\x94" + text("x") + b"0" + text("system") + b"\x9400h\x00h\x01\x93.",
    "memo written twice": b"\x80\x04"
    + text("math") + b"q\x05" + text("os") + b"q\x0500h\x05" + text("system") + b"\x93.",
    "MEMOIZE behind a gap": b"\x80\x04"
    + text("math") + b"q\x01" + text("os") + b"\x9400h\x01" + text("system") + b"\x93.",
    "names swapped by the stack": b"\x80\x04" + text("os") + b"2" + text("x") + b"00" + text("system") + b"\x93.",
    "names behind a popped mark": b"\x80\x04"
    + text("os") + b"(" + text("a") + text("b") + b"1" + text("system") + b"\x93.",
    "memo through a tuple": b"\x80\x04" + text("os") + b"\x94" + text("system") + b"\x94\x86" + b"0h\x00h\x01\x93.",
    "name of Python 2": b"c__builtin__\neval\n(S'1'\ntR.",
    "escaped text": b"\x80\x04S'\\x6fs'\nV\\u0073ystem\n\x93.",
    "binary strings of protocol 1": b"\x80\x04U\x02os" + b"T\x06\x00\x00\x00system\x93.",
    "behind a large value": b"\x80\x04" + b"\x8e" + struct.pack("<Q", 100_000) + b"c" * 100_000 + b"0cos\nsystem\n.",
    "protocol set twice": b"\x80\x04\x80\x02c__builtin__\neval\n.",
    "through another module": b"\x80\x04" + text("pathlib") + text("os.system") + b"\x93.",
    "two pickles, one after the other": b"\x80\x04cos\nsystem\n0N.\x80\x04N.",
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_dangerous_name_is_found_however_it_is_hidden(name):
    content = scan_pickle(CASES[name])
    found = told(content)
    assert found == asked_for(CASES[name]) != set()
    assert suspicions(content)


UNFOLLOWED = {
    "name that a call returns": b"\x80\x04cbuiltins\nstr\n" + text("os") + b"\x85R" + text("system") + b"\x93.",
    "very long name": b"\x80\x04" + b"X" + struct.pack("<I", 9_000) + b"a" * 9_000 + text("system") + b"\x93.",
    "number as a name": b"\x80\x04K\x01K\x02\x93.",
    "memo entry that is not there": b"\x80\x04h\x07.",
    "text of no encoding": b"\x80\x04\x8c\x02\xff\xfe" + text("system") + b"\x93.",
    "unknown opcode": b"\x80\x04\xff.",
    "end in the middle": b"\x80\x04\x8c\xff",
    "nothing": b"",
    "negative length": b"\x80\x04T\xff\xff\xff\xff.",
    "length beyond the end": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x",
    "empty stack": b"\x80\x040.",
    "extension of copyreg": b"\x80\x04\x82\x01.",
    "persistent id": b"\x80\x04N\x51.",
    "call of what getattr returns": b"\x80\x04cbuiltins\ngetattr\n" + text("x") + text("upper") + b"\x86R)R.",
    "call of a carried function": cloudpickle.dumps(lambda: os.system("true"))[:-1] + b")R.",
    "protocol of the future": b"\x80\x09N.",
    "garbage": random.Random(1).randbytes(200),
}


@pytest.mark.parametrize("name", UNFOLLOWED)
def test_what_cannot_be_followed_is_suspicious_rather_than_harmless(name):
    assert suspicions(scan_pickle(UNFOLLOWED[name]))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(3, random_state=0).fit(X, Y),
        make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=2)).fit(X, Y),
        FunctionTransformer(functools.partial(np.clip, a_min=0, a_max=1)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_ordinary_models_are_followed_to_the_end_and_not_suspicious(model, protocol):
    for dumps in (pickle.dumps, cloudpickle.dumps):
        data = dumps(model, protocol=protocol)
        content = scan_pickle(data)
        assert content.problems == []
        assert content.size == len(data)
        assert suspicions(content) == {}
        assert told(content) == asked_for(data)
        assert not carried_code(content)


def test_functions_with_their_code_are_told_apart():
    class Mine:
        def f(self):
            return np.zeros(1)

    content = scan_pickle(cloudpickle.dumps([Mine(), lambda x: np.abs(x) + 1]))
    assert carried_code(content)
    assert list(content.modules) == ["numpy"]
    assert suspicions(content) == {}


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.integers()
        | st.text(max_size=20)
        | st.binary(max_size=9)
        | st.sampled_from([len, os.getcwd, int]),
        lambda inner: st.lists(inner) | st.tuples(inner, inner, inner, inner) | st.dictionaries(st.text(), inner),
        max_leaves=30,
    ),
    st.integers(0, pickle.HIGHEST_PROTOCOL),
)
def test_every_pickle_is_followed_as_the_unpickler_does(value, protocol):
    data = pickle.dumps(value, protocol=protocol)
    content = scan_pickle(data)
    assert content.problems == []
    assert told(content) == asked_for(data)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_no_name_of_a_damaged_pickle_is_missed(data):
    whole = bytearray(pickle.dumps([os.getcwd, {"a": len, "b": [int, len]}], protocol=data.draw(st.integers(0, 5))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    content = scan_pickle(bytes(whole))
    missed = asked_for(bytes(whole)) - told(content)
    assert not missed or suspicions(content)


def test_large_pickles_are_followed_in_little_memory(tmp_path):
    file = tmp_path / "large.pkl"
    with file.open("wb") as stream:
        stream.write(b"\x80\x04]\x94(")
        for _ in range(3):
            stream.write(b"\x8e" + struct.pack("<Q", 1 << 30))
            stream.seek(1 << 30, io.SEEK_CUR)  # a hole, which takes no disk
        stream.write(b"ecos\nsystem\n.")
    code = textwrap.dedent(
        f"""
        import resource
        from pathlib import Path
        from holdfast.models._pickle_scan import scan_pickle
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        content = scan_pickle(Path({str(file)!r}))
        print(*content.globals, content.size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    name, size, grown = done.stdout.split()
    assert (name, int(size)) == ("os.system", file.stat().st_size)
    assert int(grown) * (1024 if sys.platform != "darwin" else 1) < 32 << 20
