"""What the Hub makes of the card of a repository, its README.md."""

import re

import yaml


# The Hub checks far more; these are what the tests of a card can get wrong.
KINDS = {
    "license": (str,),
    "library_name": (str,),
    "pipeline_tag": (str,),
    "base_model": (str, list),
    "datasets": (str, list),
    "tags": (list,),
    "language": (str, list),
    "widget": (list,),
    "model-index": (list,),
}


class CardError(ValueError):
    """A card the Hub does not take."""


def read_card(text: str) -> dict | None:
    """The metadata of a card; None if it has none."""
    match = re.match(r"\s*---\r?\n(.*?)\r?\n---\s*(\r?\n|$)", text, flags=re.DOTALL)
    if not match:
        return None
    try:
        metadata = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        raise CardError(f"YAML Metadata Error: {error}") from error
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise CardError("YAML Metadata Error: it is not a mapping")
    for name, value in metadata.items():
        if name in KINDS and not isinstance(value, KINDS[name]):
            kinds = " or ".join(kind.__name__ for kind in KINDS[name])
            raise CardError(f'"{name}" must be {kinds}')
    return metadata


def tags_of(metadata: dict) -> list[str]:
    """The tags by which the Hub finds a repository."""
    tags = [metadata["library_name"]] if "library_name" in metadata else []
    tags += metadata.get("tags", [])
    bases = metadata.get("base_model", [])
    tags += [f"base_model:{base}" for base in ([bases] if isinstance(bases, str) else bases)]
    if "license" in metadata:
        tags.append(f"license:{metadata['license']}")
    return tags
