"""Write the page as a folder that runs as a Space: the page, the package, and the tiny model.

python -m examples.app.space
hf upload you/motions build/space --repo-type space
"""

import argparse
import shutil
import tomllib
from pathlib import Path

from packaging.requirements import Requirement


ROOT = Path(__file__).parents[2]
APP = Path("examples/app")
AT_THE_ROOT = ("README.md", "app.py")
OTHER_MODELS = ("tiny-animatediff", "tiny-wan", "tiny-wan-i2v")


def write_space(folder: Path) -> None:
    """Write the folder; files of the same names are replaced."""
    left_out = shutil.ignore_patterns("__pycache__", *OTHER_MODELS)
    for name in ("diffusers_motion_embed", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=left_out, dirs_exist_ok=True)
    for name in AT_THE_ROOT:
        shutil.copyfile(ROOT / APP / name, folder / name)
    (folder / "requirements.txt").write_text("\n".join(requirements("app")) + "\n")


def requirements(extra: str) -> list[str]:
    """What the package and an extra need, as pyproject.toml has it. Extras may name each other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found, waiting = set(project["dependencies"]), [extra]
    while waiting:
        for line in project["optional-dependencies"][waiting.pop()]:
            needed = Requirement(line)
            if needed.name == project["name"]:
                waiting.extend(needed.extras)
            else:
                found.add(line)
    return sorted(found)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, default=Path("build/space"))
    options = parser.parse_args(arguments)
    write_space(options.output_dir)
    print(f"The Space is in {options.output_dir}")


if __name__ == "__main__":
    main()
