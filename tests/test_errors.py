"""The tree of errors is drawn as it is, and all of it is in one file."""

import ast
import builtins
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import diffusers_motion_embed as dme
from diffusers_motion_embed import errors, training


BRANCH = re.compile(r"(?P<depth>(?:│   |    )*)[├└]── (?P<name>\w+)(?: \((?P<builtin>\w+)\))? +\S.*")


def drawn():
    """Parent and further base of each error, as the module's text draws them."""
    root, *lines = errors.__doc__.partition("\n\n")[2].splitlines()
    above, tree = [root], {}
    for line in lines:
        branch = BRANCH.fullmatch(line)
        assert branch, f"no branch of the tree: {line}"
        del above[len(branch["depth"]) // 4 + 1 :]
        tree[branch["name"]] = (above[-1], branch["builtin"])
        above.append(branch["name"])
    return tree


def subclasses(error):
    for each in error.__subclasses__():
        yield each
        yield from subclasses(each)


@pytest.fixture(scope="module")
def all_errors():
    for module in pkgutil.walk_packages(dme.__path__, f"{dme.__name__}."):
        importlib.import_module(module.name)
    return [each for each in subclasses(dme.MotionEmbeddingError) if each.__module__.startswith(dme.__name__)]


def test_the_drawn_tree_is_the_real_one(all_errors):
    def bases(error):
        parent, builtin, *_ = *(base.__name__ for base in error.__bases__), None
        return parent, builtin

    assert drawn() == {each.__name__: bases(each) for each in all_errors}


def test_every_error_is_in_errors_and_offered(all_errors):
    assert {each.__module__ for each in all_errors} == {errors.__name__}
    assert {each.__name__ for each in all_errors} <= {*dme.__all__, *training.__all__}


def test_every_error_is_a_built_in_one_too(all_errors):
    for each in all_errors:
        builtin = {base for base in each.__mro__ if base.__module__ == "builtins"}
        assert builtin > {Exception, BaseException, object}, each


def raised(path):
    """Names of the errors that a file raises itself."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            yield node.exc.func.id


def is_error(builtin):
    """Unlike SystemExit, with which commands end."""
    return isinstance(builtin, type) and issubclass(builtin, Exception)


def test_built_in_errors_that_are_raised_are_those_that_the_docs_name():
    """All others can be caught as `MotionEmbeddingError`."""
    package = Path(dme.__file__).parent
    names = {
        name for path in package.rglob("*.py") for name in raised(path) if is_error(getattr(builtins, name, None))
    }
    text = (package.parent / "docs/reference/errors.md").read_text(encoding="utf-8").partition(":::")[0]
    assert names == set(re.findall(r"`(\w+Error)`", text)) - {"MotionEmbeddingError"}
