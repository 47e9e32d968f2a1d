"""Installs a wheel into a fresh environment outside of the checkout, and runs the README's code there: `make dist`."""

import argparse
import re
import shutil
import subprocess
import tempfile
import venv
from pathlib import Path


ROOT = Path(__file__).parents[2]
# The README's code on the embedded model: what stands there, and what is run instead.
REPLACEMENTS = {
    "cerspense/zeroscope_v2_576w": "tiny-t2v",
    'dtype=torch.float16).to("cuda")': "dtype=torch.float32)",
    "num_frames=24, height=320, width=576": "num_frames=4, height=64, width=64, num_inference_steps=2",
}
TRAINING = (
    *("train", "--pretrained_model_name_or_path", "tiny-t2v", "--reference_video", "figure_eight.mp4"),
    *("--num_frames", "16", "--height", "64", "--width", "64", "--prompt", "a red bar on a black background"),
    *("--max_train_steps", "2", "--output_dir", "skateboard-motion"),
)
CHECK = """
import diffusers_motion_embed, importlib.util
from PIL import Image
assert "site-packages" in diffusers_motion_embed.__file__, diffusers_motion_embed.__file__
assert importlib.util.find_spec("examples") is None
assert Image.open("panda.gif").n_frames > 1
print("The wheel runs the README's code.")
"""


def readme_code() -> str:
    """The code of the README's section "Use", for the embedded model.

    Raises:
        ValueError: If the README has changed, and `REPLACEMENTS` has not.
    """
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Use")[2]
    code = re.findall(r"```python\n(.*?)```", section, re.S)[0]
    for old, new in REPLACEMENTS.items():
        if old not in code:
            raise ValueError(f"{old!r} is not in the README's code.")
        code = code.replace(old, new)
    return code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    wheel = parser.parse_args().wheel.resolve()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "examples/tiny-t2v", Path(folder, "tiny-t2v"))
        shutil.copy(ROOT / "examples/assets/figure_eight.mp4", folder)
        environment = Path(folder, "environment")
        venv.create(environment, with_pip=True)

        def run(program: str, *arguments: str) -> None:
            subprocess.run([environment / "bin" / program, *arguments], cwd=folder, check=True)

        run("pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), f"{wheel}[training]")
        run("diffusers-motion-embed", *TRAINING)
        run("diffusers-motion-embed", "inspect", "skateboard-motion")
        for code in (readme_code(), CHECK):
            run("python", "-c", code)


if __name__ == "__main__":
    main()
