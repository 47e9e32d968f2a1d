"""Imports inside the package point one way, and only the adapter knows PEFT."""

import ast
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent
PACKAGE = "diffusers_motion_embed"

# Every part of the package, and the parts that it may import. Subpackages count as one part.
CHAIN = (
    *("errors", "functional", "compact", "layouts", "architectures", "config"),
    *("files", "hub", "adapter", "loaders", "pipelines"),
)
MAY_IMPORT = {part: {part, *CHAIN[: CHAIN.index(part)]} for part in CHAIN}
MAY_IMPORT["functional"] = {"functional"}
MAY_IMPORT["compact"] = {"compact", "functional"}
MAY_IMPORT["atomic"] = {"atomic"}
MAY_IMPORT["files"] |= {"atomic"}
MAY_IMPORT["arithmetic"] = {"arithmetic", "errors", "functional", "config", "files", "hub"}
MAY_IMPORT["convert"] = {"convert", "errors", "config", "files"}
MAY_IMPORT["model_card"] = {"model_card", "config"}
MAY_IMPORT["loaders"] |= {"model_card"}
MAY_IMPORT["pipelines"] |= {"model_card"}
MAY_IMPORT["video"] = {"video", "errors"}
MAY_IMPORT["encoding"] = {"encoding", "errors", "layouts", "architectures"}
MAY_IMPORT["noising"] = {"noising", "errors"}
MAY_IMPORT["conditioning"] = {"conditioning", "errors", "layouts", "architectures", "loaders"}
ASKING = {"encoding", "noising", "conditioning", "atomic"}
MAY_IMPORT["noise"] = {"noise", *ASKING, *CHAIN[: CHAIN.index("pipelines")]}
MAY_IMPORT["metrics"] = {"metrics", "errors"}
MAY_IMPORT["training"] = {"training", *ASKING, *CHAIN}
MAY_IMPORT["__init__"] = set(MAY_IMPORT) - {"training", "metrics"}
ONLY_IN = {"peft": {"adapter", "config", "training"}}


def imported_modules(source):
    """Full names of all modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports inside the package are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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
    "functional": "files",
    "files": "adapter",
    "loaders": "training.config",
    "video": "adapter",
    "metrics": "functional",
    "new": "errors",
}


@pytest.mark.parametrize(("part", "imported"), FORBIDDEN.items())
def test_imports_the_other_way_are_noticed(part, imported):
    assert violations(Path(PACKAGE, f"{part}.py"), f"def f():\n    from {PACKAGE}.{imported} import name")
