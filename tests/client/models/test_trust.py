"""Who is trusted to have written a model that is loaded here, and that nothing loads one past that question."""

import ast
from pathlib import Path

import pytest

from holdfast._config import allows_pickle
from holdfast.errors import InvalidArgumentError, PermissionDeniedError, UntrustedModelError
from holdfast.models._trust import OWN, Origin, judge

LOCAL = Origin(local=True)
OPEN = Origin(logged_by="", own_principal="")
MINE = Origin(authentication_enabled=True, own_principal="ada", logged_by="ada")
THEIRS = Origin(authentication_enabled=True, own_principal="ada", logged_by="bob")
UNKNOWN = Origin(authentication_enabled=True, own_principal="ada")
NOBODYS = Origin(authentication_enabled=True)
FORBIDDEN = {"forbidden_by": "scorer"}


@pytest.mark.parametrize(
    ("origin", "unsaid", "allowed", "refused"),
    [
        pytest.param(LOCAL, True, True, False, id="a local directory"),
        pytest.param(OPEN, True, True, False, id="a server without authentication"),
        pytest.param(MINE, True, True, False, id="logged by the same principal"),
        pytest.param(THEIRS, False, True, False, id="logged by another principal"),
        pytest.param(UNKNOWN, False, True, False, id="logged by nobody knows whom"),
        pytest.param(NOBODYS, False, True, False, id="two empty principals are not the same one"),
        pytest.param(Origin(**FORBIDDEN), False, False, False, id="forbidden, without authentication"),
        pytest.param(
            Origin(authentication_enabled=True, own_principal="ada", logged_by="ada", **FORBIDDEN),
            False, False, False, id="forbidden, logged by the same principal",
        ),
        pytest.param(
            Origin(authentication_enabled=True, own_principal="ada", logged_by="bob", **FORBIDDEN),
            False, False, False, id="forbidden, logged by another",
        ),
    ],
)  # fmt: skip
def test_the_rule(origin, unsaid, allowed, refused):
    assert judge(origin, None).given is unsaid
    assert judge(origin, True).given is allowed
    assert judge(origin, False).given is refused


@pytest.mark.parametrize(
    ("origin", "allow", "names"),
    [
        pytest.param(THEIRS, None, ["'bob'", "'ada'", "allow_pickle=True", "HOLDFAST_ALLOW_PICKLE=1"], id="another"),
        pytest.param(UNKNOWN, None, ["does not know", "allow_pickle=True"], id="unknown"),
        pytest.param(LOCAL, False, ["allow_pickle=False", "HOLDFAST_ALLOW_PICKLE=0"], id="refused by the call"),
        pytest.param(Origin(**FORBIDDEN), True, ["'scorer'", "skops", "--permit-pickle"], id="forbidden"),
    ],
)
def test_a_refusal_names_the_setting_that_allows_it(origin, allow, names):
    with pytest.raises(UntrustedModelError) as caught:
        judge(origin, allow).require("Unpickling model.pkl")
    assert isinstance(caught.value, PermissionDeniedError)
    for name in ["Unpickling model.pkl", *names]:
        assert name in caught.value.message


def test_what_is_trusted_is_not_refused():
    OWN.require("Unpickling model.pkl")


def test_the_environment_says_yes_no_or_nothing():
    values = ["1", "true", "0", "no", "", " "]
    found = [allows_pickle({"HOLDFAST_ALLOW_PICKLE": value}) for value in values]
    assert found == [True, True, False, False, None, None]
    assert allows_pickle({}) is None
    with pytest.raises(InvalidArgumentError, match="HOLDFAST_ALLOW_PICKLE"):
        allows_pickle({"HOLDFAST_ALLOW_PICKLE": "perhaps"})


ROOT = Path(__file__).parents[3]
SOURCES = sorted(
    file
    for folder in ("client/python/holdfast", "server/holdfast_server")
    for file in (ROOT / folder).rglob("*.py")
    if "/v1/" not in str(file)
)
CHOKE_POINT = ROOT / "client/python/holdfast/models/_unpickle.py"
LOADERS = {"pickle", "_pickle", "cloudpickle", "joblib", "dill", "skops", "skops.io", "shelve", "marshal", "torch"}
READING = {"load", "loads", "Unpickler", "open", "read_pickle"}


def loads_objects(source: str) -> list[str]:
    """Uses of what loads serialized objects in a module, however it was imported."""
    tree = ast.parse(source)
    modules: dict[str, str] = {}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                modules[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        name = ast.unparse(node) if isinstance(node, (ast.Attribute, ast.Name)) else ""
        head, dot, rest = name.partition(".")
        whole = f"{modules[head]}{dot}{rest}" if head in modules else name
        owner, _, last = whole.rpartition(".")
        if (owner in LOADERS and last in READING) or last == "read_pickle":
            found.append(whole)
    return found


def test_nothing_but_the_choke_point_loads_serialized_objects():
    guilty = {str(file.relative_to(ROOT)): uses for file in SOURCES if (uses := loads_objects(file.read_text()))}
    assert list(guilty) == [str(CHOKE_POINT.relative_to(ROOT))]
    assert set(guilty.popitem()[1]) == {"pickle.loads", "pickle.Unpickler", "skops.io.loads"}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.loads(b'')",
        "import pickle as p\np.load(f)",
        "from pickle import loads\nloads(b'')",
        "from cloudpickle import load as take\ntake(f)",
        "def f():\n    import skops.io as sio\n    return sio.load",
        "from skops import io\nio.loads(b'')",
        "import joblib\nread = joblib.load",
        "import pandas as pd\npd.read_pickle('x')",
    ],
)
def test_the_search_finds_loads_by_any_name(source):
    assert loads_objects(source)


def test_pickles_are_written_where_they_may_be():
    assert loads_objects("import pickle\npickle.dumps(1)\nimport json\njson.loads('1')") == []
