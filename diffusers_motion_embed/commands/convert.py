"""The command that converts checkpoints of the method's authors, `motion_embed.pt`, to embeddings and back.

    diffusers-motion-embed convert motion_embed.pt skateboard-motion --num_frames 24 --height 320 --width 576

`storage.convert` describes what their files hold.
"""

import argparse
import io

import torch

from diffusers_motion_embed.storage.atomic import replace_files
from diffusers_motion_embed.storage.convert import from_authors_checkpoint, to_authors_checkpoint
from diffusers_motion_embed.storage.files import read_embedding, write_embedding
from diffusers_motion_embed.values import expanded


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="diffusers-motion-embed convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", type=expanded, help="Their motion_embed.pt; with --to_authors, a folder of this package."
    )
    parser.add_argument("target", type=expanded, help="Folder to write; with --to_authors, the file.")
    parser.add_argument("--num_frames", type=int, default=24, help="Frames that it was trained with.")
    parser.add_argument("--height", type=int, default=320, help="Of the training clip, in pixels.")
    parser.add_argument("--width", type=int, default=576, help="Of the training clip, in pixels.")
    parser.add_argument("--base_model_name_or_path", help="Checkpoint that it was trained on.")
    parser.add_argument("--to_authors", action="store_true", help="The other way round.")
    options = parser.parse_args(arguments)
    if options.to_authors:
        contents = io.BytesIO()
        torch.save(to_authors_checkpoint(read_embedding(options.source)), contents)
        replace_files(options.target.parent, {options.target.name: contents.getvalue()})
        return
    embedding = from_authors_checkpoint(
        options.source,
        num_frames=options.num_frames,
        height=options.height,
        width=options.width,
        base_model_name_or_path=options.base_model_name_or_path,
    )
    write_embedding(options.target, embedding)
