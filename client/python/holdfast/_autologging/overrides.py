"""Tells whether an estimator is trained once scikit-learn's ``fit`` returns.

A class of the user's may have a ``fit`` that calls scikit-learn's, where autologging looks, and then goes on. Wrapping
the user's would put the wrapper into what cloudpickle stores of the class.
"""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType

from holdfast._autologging.estimators import FITTING

# What follows a call in bytecode. These return what it returned, or a variable, and leave ``with`` blocks: the call of
# an ``__exit__`` has its function on the stack already. Python 3.10 has other names for some.
_RETURNS = frozenset({"RETURN_VALUE", "RETURN_CONST"})
_HARMLESS = frozenset(
    {"NOP", "POP_TOP", "SWAP", "COPY", "LOAD_CONST", "PRECALL", "CALL"}
    | {"POP_BLOCK", "DUP_TOP", "ROT_TWO", "CALL_FUNCTION"}
)
_VARIABLES = ("LOAD_FAST", "STORE_FAST")


def goes_on(kind: type) -> bool:
    """Whether a ``fit`` of the user's is running, of ``kind`` or a class it inherits, and will do more than return.

    To be asked below scikit-learn's ``fit``, before that begins.
    """
    own = set(_own_fitting(kind))
    if not own:
        return False
    does_more = found = False
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - Python's own way to look at the stack
    while frame is not None:
        if not str(frame.f_globals.get("__name__", "")).startswith("holdfast._autologging"):
            does_more = does_more or not _only_returns(frame)
            found = found or (does_more and frame.f_code in own)
        frame = frame.f_back
    return found


def _own_fitting(kind: type) -> Iterator[CodeType]:
    for base in kind.__mro__:
        if not base.__module__.startswith("sklearn."):
            for name in FITTING:
                method = inspect.unwrap(vars(base).get(name))  # type: ignore[arg-type]
                if isinstance(method, FunctionType):
                    yield method.__code__


def _only_returns(frame: FrameType) -> bool:
    following = frame.f_lasti + 1
    for instruction in dis.get_instructions(frame.f_code):
        if instruction.offset < following:
            continue
        if instruction.opname in _RETURNS:
            return True
        if instruction.opname == "JUMP_FORWARD":
            following = instruction.argval
        elif instruction.opname not in _HARMLESS and not instruction.opname.startswith(_VARIABLES):
            return False
    return False
