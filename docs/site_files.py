"""Which files of the repository the docs site shows: a hook of mkdocs, named in mkdocs.yml."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


ROOT = Path(__file__).parent.parent
PAGES = ("*.md", "docs/**/*.md", "examples/*.md", "examples/*/*.md", "benchmarks/*.md")  # but not cards of motions
PICTURES = ("docs/**/*.png", "docs/**/*.webp", "benchmarks/images/*.png")
LINKED = ("diffusers_motion_embed/**/*.py",)  # sources, as pages link to them


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Show each file at its place in the repository. A link then means the same on the site as on GitHub."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    shown = sorted(path.relative_to(ROOT) for pattern in PAGES + PICTURES + LINKED for path in ROOT.glob(pattern))
    return Files([*theme, *(File(str(path), str(ROOT), config.site_dir, use_directory_urls=True) for path in shown)])
