"""The command `diffusers-motion-embed`, or `python -m diffusers_motion_embed`."""

import argparse
from importlib import import_module

from diffusers_motion_embed import __version__
from diffusers_motion_embed.commands.endings import errors_in_words


COMMANDS = {
    "train": "learn a motion embedding from a reference video",
    "inspect": "say what an embedding is, without its base model",
    "convert": "convert checkpoints of the method's authors, and back",
    "card": "write the model card of an embedding's folder",
    "push": "upload embeddings to the Hub, on request into a collection",
}


def main(arguments: list[str] | None = None) -> None:
    """Run the subcommand that is named first; `diffusers-motion-embed train --help` explains its arguments."""
    help_of_one = "see `diffusers-motion-embed command --help`"
    listed = "\n".join(f"  {name:9} {what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="diffusers-motion-embed",
        description=f"Motion embeddings for diffusers video pipelines.\n\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", choices=COMMANDS, metavar="command", help=help_of_one)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    options = parser.parse_args(arguments)
    with errors_in_words():
        import_module(f"diffusers_motion_embed.commands.{options.command}").main(options.arguments)


if __name__ == "__main__":
    main()
