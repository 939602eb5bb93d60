"""Which of the names in a pickle deserve a look before it is loaded.

No list of this kind is complete: a name that is not on it is unremarkable, not safe. What decides whether a pickle is
loaded is who logged it (`holdfast.models._trust`).
"""

from __future__ import annotations

from holdfast.models._pickle_content import Global, PickleContent

__all__ = ["carried_code", "suspicions"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Modules that start programs, load code, read and write files, or speak to the network.
_MODULES = _words(
    """
    _ctypes _io _osx_support _pickle _posixsubprocess _winapi aiohttp antigravity asyncio bdb cProfile cPickle code
    codeop commands ctypes dill distutils doctest ensurepip fileinput ftplib gc http httpx idlelib imaplib imp
    importlib inspect io lib2to3 marshal multiprocessing nt os pdb pickle pip pkgutil platform poplib posix profile
    pty requests runpy setuptools shelve shutil signal site smtplib socket socketserver ssl subprocess sys sysconfig
    telnetlib timeit trace urllib venv webbrowser winreg xmlrpc zipimport
    """
)
_PLACES = frozenset(
    {
        "joblib.load",
        "joblib.numpy_pickle.load",
        "logging.config.dictConfig",
        "numpy.fromfile",
        "numpy.load",
        "numpy.memmap",
        "numpy.save",
        "pandas.eval",
        "pandas.read_pickle",
        "pandas.io.pickle.read_pickle",
        "torch.load",
        "torch.serialization.load",
    }
)
_PREFIXES = ("numpy.testing.", "numpy.f2py.", "torch.hub.", "torch.utils.model_zoo.", "pandas.core.computation.")
# Wherever they come from: modules offer what they import.
_NAMES = _words(
    """
    Popen __builtins__ __class__ __globals__ __import__ __subclasses__ breakpoint call check_call check_output
    compile delattr eval exec execl execle execlp execv execve execvp getoutput getstatusoutput globals
    import_module input locals open popen run_module run_path runcode runsource runstring setattr spawnl spawnv
    startfile system vars
    chmod chown rename rmdir rmtree symlink_to unlink write_bytes write_text
    """
)
# Functions and classes stored with their code, and what makes them; calling what some of these return is ordinary.
_CARRIERS = ("cloudpickle.cloudpickle", "cloudpickle.cloudpickle_fast", "types")
_ORDINARY_RETURNS = tuple(
    f"what {module}.{name} returns"
    for module in _CARRIERS
    for name in ("_builtin_type", "_make_skeleton_class", "_make_skeleton_enum")
)


def suspicions(content: PickleContent) -> dict[str, str]:
    """What deserves a look: names, each with the reason, and what could not be followed."""
    found = {str(name): reason for name in content.globals if (reason := _reason(name))}
    for called in content.called:
        if not called.module and called.name not in _ORDINARY_RETURNS:
            found[str(called)] = "called without a name, so nobody can tell what it does"
    for module in content.modules:
        if module.partition(".")[0] in _MODULES:
            found[module] = f"the module {module.partition('.')[0]}, for a function that comes with the model"
    return found | dict.fromkeys(content.problems, "cannot be followed, so nobody can tell what it does")


def carried_code(content: PickleContent) -> bool:
    """Whether it holds functions or classes with their code, whose insides no list of names tells."""
    return any(name.module in _CARRIERS for name in content.called)


def _reason(found: Global) -> str:
    if not found.module:
        return "a name that cannot be followed"
    top, parts, whole = found.module.partition(".")[0], found.name.split("."), str(found)
    if top in _MODULES:
        return f"the module {top}"
    # One module reaches others: pathlib has os, and so does everything that imports it.
    through = [part for part in parts if part.lstrip("_") in _MODULES and len(part.lstrip("_")) > 1]
    if through:
        return f"reaches the module {through[0].lstrip('_')}"
    if hit := next((part for part in parts if part in _NAMES), ""):
        return f"{hit}, which runs code or reaches it"
    if whole in _PLACES or whole.startswith(_PREFIXES):
        return "runs code, loads other pickles, or reads and writes files"
    return ""
