"""Write the reference clips of the tiny world as video files, 256 x 256 pixels, and a picture of each prompt.

python -m benchmarks.tiny_world.write_references --output_dir examples/assets
"""

import argparse
from pathlib import Path

import numpy as np
from diffusers.utils import export_to_video
from PIL import Image

from benchmarks.tiny_world.references import CAMERA_REFERENCES, OBJECT_REFERENCES, PROMPTS, as_video
from benchmarks.tiny_world.scene import FRAMES_PER_SECOND, Motion, Scene
from diffusers_motion_embed.video.sheets import scaled
from examples.demo import file_name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True)
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)
    for name, scene in {**OBJECT_REFERENCES, **CAMERA_REFERENCES}.items():
        path = str(options.output_dir / f"{name}.mp4")
        export_to_video(scaled(as_video(scene), 256), path, fps=FRAMES_PER_SECOND, quality=9)
    pictures = options.output_dir / "pictures"
    pictures.mkdir(exist_ok=True)
    for look in PROMPTS:  # the object in the middle, which the figure of eight starts from
        picture = as_video(Scene(look, Motion.of_object(np.zeros((1, 2)))))[0]
        Image.fromarray(picture).save(pictures / f"{file_name(look.prompt)}.png")


if __name__ == "__main__":
    main()
