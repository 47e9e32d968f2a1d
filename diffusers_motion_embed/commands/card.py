"""Write the model card of an embedding's folder, which the Hub shows as the repository's page.

diffusers-motion-embed card skateboard-motion --repo_id you/skateboard-motion --license mit
"""

import argparse

from diffusers_motion_embed.storage.files import read_embedding
from diffusers_motion_embed.storage.model_card import CARD_NAME, make_model_card, preview_files
from diffusers_motion_embed.values import expanded


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="diffusers-motion-embed card",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=expanded, help="A folder that training or save_motion_embedding wrote.")
    parser.add_argument("--repo_id", help="Its repository, user/name; by default the folder's name.")
    parser.add_argument(
        "--base_model_name_or_path", help="Where others find its base model; by default where training found it."
    )
    parser.add_argument("--license", default="other", help="Identifier of the license, as on the Hub.")
    parser.add_argument("--overwrite", action="store_true", help="Replace a card that is there already.")
    options = parser.parse_args(arguments)
    path = options.folder / CARD_NAME
    if path.exists() and not options.overwrite:
        parser.error(f"{path} exists; --overwrite replaces it.")
    config = read_embedding(options.folder).config
    if options.base_model_name_or_path:
        config = config.changed(base_model_name_or_path=options.base_model_name_or_path)
    repo_id = options.repo_id or options.folder.resolve().name
    previews = [(file.name, str(config.generation.get("prompt", ""))) for file in preview_files(options.folder)]
    make_model_card(config, repo_id, previews, options.license).save(path)
    print(f"The model card is {path}")
