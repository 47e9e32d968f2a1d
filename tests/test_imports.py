"""Imports point one way: inside the package, and between package, examples, benchmarks and tests."""

import ast
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent
PACKAGE = "diffusers_motion_embed"

# The rooms of the package from the bottom to the top; each may import those below it. Subpackages count as one room.
CHAIN = (
    *(
        "_compat",
        "errors",
        "values",
        "functional",
        "config",
        "architectures",
        "storage",
        "arithmetic",
        "adapter",
        "peft_tuner",
    ),
    *("controls", "loaders", "sharing", "pipelines", "noise", "training"),
)
MAY_IMPORT = {room: {room, *CHAIN[: CHAIN.index(room)]} for room in CHAIN}
MAY_IMPORT["video"] = {"video", "errors", "values"}
MAY_IMPORT["frames"] = {"frames", "errors", "video"}
MAY_IMPORT["metrics"] = {"metrics", "errors", "_compat"}
for room in ("noise", "training"):
    MAY_IMPORT[room] |= {"frames"}
MAY_IMPORT["training"] |= {"video", "metrics"}
MAY_IMPORT["__main__"] = {"__init__", "__version__", "commands"}
MAY_IMPORT["reports"] = {"reports", "errors", "values", "functional", "config", "storage", "metrics", "video"}
MAY_IMPORT["estimate"] = {"estimate", *MAY_IMPORT["training"]}
MAY_IMPORT["commands"] = MAY_IMPORT["training"] | {"commands", "estimate", "reports"}
MAY_IMPORT["__init__"] = {"video", *MAY_IMPORT["noise"]}
ONLY_IN = {"peft": {"config", "adapter", "peft_tuner", "training"}}


def imported_modules(source):
    """Full names of all modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports inside the package are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# What the folders of the repository may import of each other; tests of examples and of benchmarks also what they test.
FOLDERS = (PACKAGE, "examples", "benchmarks", "tests")
FOLDERS_MAY_IMPORT = {
    PACKAGE: {PACKAGE},
    "examples": {PACKAGE, "examples"},
    "benchmarks": {PACKAGE, "examples", "benchmarks"},
    "tests": {PACKAGE, "tests"},
    "tests/examples": {PACKAGE, "examples", "tests"},
    "tests/benchmarks": set(FOLDERS),
}


def folder_of(path):
    """The longest part of a file's path that has rules."""
    return next(name for name in map(str, path.parents) if name in FOLDERS_MAY_IMPORT)


def folder_violations(path, source):
    allowed = FOLDERS_MAY_IMPORT[folder_of(path)]
    return [
        f"{path} imports {module}"
        for module in imported_modules(source)
        if module.split(".")[0] in FOLDERS and module.split(".")[0] not in allowed
    ]


def violations(path, source):
    part, found = path.parts[1].removesuffix(".py"), []
    if part not in MAY_IMPORT:
        return [f"{path}: say in MAY_IMPORT what {part} may import"]
    for module in imported_modules(source):
        top, *rest = module.split(".")
        if (top == PACKAGE and (not rest or rest[0] not in MAY_IMPORT[part])) or part not in ONLY_IN.get(top, {part}):
            found.append(f"{path} imports {module}")
    return found


@pytest.mark.parametrize("path", sorted((ROOT / PACKAGE).rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    assert violations(path.relative_to(ROOT), path.read_text(encoding="utf-8")) == []


FORBIDDEN = {
    "functional": "storage.files",
    "storage": "adapter",
    "loaders": "training.config",
    "video": "adapter",
    "metrics": "functional",
    "new": "errors",
}


@pytest.mark.parametrize(("part", "imported"), FORBIDDEN.items())
def test_imports_the_other_way_are_noticed(part, imported):
    assert violations(Path(PACKAGE, f"{part}.py"), f"def f():\n    from {PACKAGE}.{imported} import name")


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_import_one_way(folder):
    paths = sorted((ROOT / folder).rglob("*.py"))
    assert paths
    texts = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in paths}
    assert [found for path, text in texts.items() for found in folder_violations(path, text)] == []


@pytest.mark.parametrize(
    ("path", "imported"),
    [
        (f"{PACKAGE}/training/trainer.py", "examples.demo"),
        (f"{PACKAGE}/video.py", "benchmarks.cost"),
        ("examples/demo.py", "benchmarks.tiny_world.scene"),
        ("tests/metrics/test_motion.py", "benchmarks.tiny_world"),
        ("tests/conftest.py", "examples.pictures"),
        ("tests/examples/test_demo.py", "benchmarks.fidelity"),
    ],
)
def test_imports_between_folders_are_noticed(path, imported):
    assert folder_violations(Path(path), f"def f():\n    import {imported}")
    assert folder_violations(Path(path), f"from {imported.rpartition('.')[0] or imported} import name")
