"""Packaging. The version lives in diffusers_motion_embed/__init__.py and is read from there without importing it."""

import re
from pathlib import Path

from setuptools import find_packages, setup


ROOT = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"', (ROOT / "diffusers_motion_embed/__init__.py").read_text(), re.M)[1]

training = ["av>=18.1", "imageio[ffmpeg]>=2.38"]  # a video reader; what diffusers' export_to_video needs
metrics = ["opencv-python-headless>=5.0"]  # following points through a video, colours
demo = [*training, *metrics, "matplotlib>=3.11"]
app = [*demo, "gradio>=6.31"]
docs = ["mkdocs-material>=9.8", "mkdocstrings[python]>=1.0"]
test = [
    *app,
    "axe-playwright-python>=0.1.8",  # what keyboards and screen readers need of a page
    "gguf>=0.19",  # a base from such a file
    "ftfy>=6.3",  # with which diffusers' Wan and SkyReels pipelines clean prompts
    "hypothesis>=6.170",
    "playwright>=1.65",  # drives a browser, which it does not bring along
    "pytest>=9.0",
    "pytest-xdist>=3.8",
    "scikit-image>=0.26",  # exact measures of rendered clips
    "tensorboard>=2.21",  # a tracker to test with
    "torchao>=0.18",  # a quantized base
]

setup(
    name="diffusers_motion_embed",
    version=VERSION,
    description="Motion embeddings for diffusers video pipelines: learned from one clip, used like LoRAs",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["diffusers_motion_embed", "diffusers_motion_embed.*"]),
    package_data={"diffusers_motion_embed": ["py.typed", "storage/model_card_template.md"]},
    python_requires=">=3.11",
    # The versions that the tests ran with are in constraints.txt; the ranges here admit those alone until more are
    # tested, because the package leans on the inner workings of diffusers and PEFT.
    install_requires=[
        "accelerate>=1.15",
        "diffusers>=0.42.1,<0.43",
        "huggingface_hub>=2.4",
        "jinja2>=3.1",
        "natsort>=8.4",  # numbers in names of pictures, in the order of numbers
        "numpy>=2.0",
        "peft>=0.21.2,<0.22",
        "pillow>=12.0",
        "safetensors>=0.8",
        "torch>=2.13",
        "tqdm>=4.67",
        "transformers>=5.23",
    ],
    extras_require={
        "training": training,
        "metrics": metrics,
        "demo": demo,
        "app": app,
        "docs": docs,
        "test": test,
        "dev": [*test, "mypy>=2.4", "pre-commit>=4.7", "ruff>=0.17"],
    },
)
