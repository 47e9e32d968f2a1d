"""Upload embeddings to the Hub, each to a repository of its own, without their base models.

    diffusers-motion-embed push outputs/figure_eight --repo_id you/figure-eight --license mit
    diffusers-motion-embed push examples/collection/* --namespace you --collection "Motions for tiny-t2v"

A folder's own README.md is uploaded as its card; without one, a card is made. Folders that are no embeddings are told
before anything is uploaded.
"""

import argparse

from tqdm import tqdm

from diffusers_motion_embed.sharing import push_embedding_folder
from diffusers_motion_embed.storage.files import read_embedding
from diffusers_motion_embed.storage.hub import collect_repositories
from diffusers_motion_embed.values import expanded


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options, checked against each other."""
    parser = argparse.ArgumentParser(
        prog="diffusers-motion-embed push",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folders", type=expanded, nargs="+", help="Folders that training or save_motion_embedding wrote.")
    add("--repo_id", help="Repository of a single embedding, user/name.")
    add("--namespace", help="Account of the repositories, which get the folders' names; by default your own.")
    add("--collection", metavar="TITLE", help="Put the repositories into this collection, a new one if need be.")
    add("--license", default="other", help="For the cards that are made, an identifier as on the Hub.")
    add("--private", action="store_true", help="New repositories, and a new collection, are private.")
    add("--hub_token", help="Access token; by default that of `hf auth login`.")
    options = parser.parse_args(arguments)
    names = [folder.resolve().name for folder in options.folders]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        parser.error(f"More than one folder is called {', '.join(repeated)}; their repositories need other names.")
    if options.repo_id and (options.namespace or len(names) > 1):
        parser.error("--repo_id is for one embedding, and names its account; leave out --namespace.")
    return options


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    options = parse_arguments(arguments)
    for folder in options.folders:
        read_embedding(folder)
    settings = {"license": options.license, "private": options.private or None, "token": options.hub_token}
    repo_ids = []
    for folder in tqdm(options.folders, desc="uploading", unit="embedding"):
        name = folder.resolve().name
        repo_id = options.repo_id or (f"{options.namespace}/{name}" if options.namespace else name)
        repo_ids.append(push_embedding_folder(folder, repo_id, **settings))
    print("\n".join(repo_ids))
    if options.collection:
        where = {"namespace": options.namespace, "private": options.private, "token": options.hub_token}
        print(f"They are in {collect_repositories(options.collection, repo_ids, **where)}")
