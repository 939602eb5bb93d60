"""Whether what a package would run may be run: one rule for pickles, packaged code and recorded lists of types.

Loading a pickle runs code that whoever wrote it chose, importing packaged code does the same, and the list of trusted
types in a package was written by whoever wrote the package. So all three fall under one rule, which this module
decides from plain values: it asks no server and reads no file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast._config import ALLOW_PICKLE_VARIABLE
from holdfast.errors import InvalidArgumentError, UntrustedModelError

__all__ = ["OWN", "Origin", "Trust", "check_type_names", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a package comes from, as far as that says who wrote it.

    Attributes:
        local: It is a directory of this machine, which counts as the user's own.
        authentication_enabled: The server knows who its callers are.
        own_principal: Who the caller is; empty without authentication.
        logged_by: Who alone logged the package; empty when the server does not know, or more than one wrote it.
        forbidden_by: Name of the registered model that it is loaded through and that forbids pickles; empty for none.
    """

    local: bool = False
    authentication_enabled: bool = False
    own_principal: str = ""
    logged_by: str = ""
    forbidden_by: str = ""


@dataclass(frozen=True, slots=True)
class Trust:
    """What was decided.

    Attributes:
        refusal: Why nothing of the package may run, and what would allow it; empty when it may.
    """

    refusal: str = ""

    @property
    def given(self) -> bool:
        """Whether the package may run what it holds."""
        return not self.refusal

    def require(self, action: str) -> None:
        """Do nothing if it may.

        Args:
            action: What is about to be done, as the subject of a sentence: ``"Unpickling model.pkl"``.

        Raises:
            UntrustedModelError: It may not; the message names the setting that allows it.
        """
        if self.refusal:
            raise UntrustedModelError(f"{action} would run code that comes with the model. {self.refusal}")


_NOBODY = "somebody whom the server does not know (it was imported, is files of a run, or was written by more than one)"
OWN = Trust()
"""For what this process made itself."""


def judge(origin: Origin, allow_pickle: bool | None) -> Trust:
    """Decide whether a package may run what it holds.

    Args:
        origin: Where it comes from.
        allow_pickle: What the caller, or else the environment, says; None leaves it to the default, which is to trust
            the user's own: local directories, what the same principal logged, and everything without authentication.
    """
    if origin.forbidden_by:
        return Trust(
            f"The registered model {origin.forbidden_by!r} forbids that, whatever the call allows: register a version "
            "that was saved with serialization_format='skops' and without code_paths, or have somebody who may change "
            f"the registered model run `holdfast models set {origin.forbidden_by} --permit-pickle`."
        )
    if allow_pickle is not None:
        return OWN if allow_pickle else Trust(f"allow_pickle=False, or {ALLOW_PICKLE_VARIABLE}=0, forbids that.")
    if origin.local or not origin.authentication_enabled:
        return OWN
    if origin.own_principal and origin.own_principal == origin.logged_by:
        return OWN
    who = repr(origin.logged_by) if origin.logged_by else _NOBODY
    return Trust(
        f"It was logged by {who}, not by {origin.own_principal or 'you'!r}. `holdfast models inspect` shows what it "
        f"would import, without loading it. If you trust it, pass allow_pickle=True, or set {ALLOW_PICKLE_VARIABLE}=1."
    )


def check_type_names(skops_trusted_types: Iterable[str] | None) -> list[str] | None:
    """Return the names of types that a call trusts as a list.

    Raises:
        InvalidArgumentError: It is one string, or holds something else than strings.
    """
    if skops_trusted_types is None:
        return None
    if isinstance(skops_trusted_types, str) or not isinstance(skops_trusted_types, Iterable):
        kind = type(skops_trusted_types).__name__
        raise InvalidArgumentError(
            f"skops_trusted_types must be a list of names of types, such as ['module.Class'], not {kind}."
        )
    names = list(skops_trusted_types)
    for name in names:
        if not isinstance(name, str):
            raise InvalidArgumentError(
                f"skops_trusted_types must be a list of names such as 'module.Class', and {name!r:.80} is none."
            )
    return names
