"""Nothing assumes a kind of device, and nothing needs float64 on one: Apple's have none."""

import ast
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent
FILES = sorted([*(ROOT / "diffusers_motion_embed").rglob("*.py"), *(ROOT / "examples").glob("*.py")])
# Where float64 is computed with, on the CPU or by numpy.
DOUBLE = {
    "architectures/noising.py": "noise levels, which to_device makes float32",
    "metrics/features.py": "features, once they are on the CPU",
    "storage/compact.py": "tensors that to_state_dict has put on the CPU",
    "storage/files.py": "a dtype that files may have",
    "training/sampling.py": "noise levels, on the CPU",
    "video/colour.py": "numpy",
}
CUDA = {"storage/model_card.py": "an example for readers, as in diffusers' own cards"}


def mentions(path):
    """Names of float64 and of CUDA in the code of a file, not in its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("float64", "double", "cuda"):
            yield "cuda" if node.attr == "cuda" else "double"
        elif isinstance(node, ast.Constant) and id(node) not in texts and "cuda" in str(node.value).lower():
            yield "cuda"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_device_is_assumed(path):
    name = str(path.relative_to(ROOT)).removeprefix("diffusers_motion_embed/")
    found = set(mentions(path))
    assert "double" not in found or name in DOUBLE
    assert "cuda" not in found or name in CUDA


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("x = y.double()", {"double"}),
        ("x = torch.zeros(2, dtype=torch.float64)", {"double"}),
        ("pipe.to('cuda:0')", {"cuda"}),
        ("torch.cuda.synchronize()", {"cuda"}),
        ("'cuda and float64'", set()),
    ],
)
def test_what_counts_as_a_mention(tmp_path, code, expected):
    path = tmp_path / "code.py"
    path.write_text(code)
    assert set(mentions(path)) == expected
