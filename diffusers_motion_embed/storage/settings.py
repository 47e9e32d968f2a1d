"""The settings of an embedding as JSON values, with the versions of the file format."""

import json
from dataclasses import fields
from typing import Any

from diffusers_motion_embed.config import PEFT_TYPE, MotionEmbeddingConfig
from diffusers_motion_embed.errors import EmbeddingFileError


# Settings that came after the first readers of version 1, which keep them without acting on them. A file that does not
# use them omits them.
LATER_SETTINGS = {"frame_policy": "resample", "position_grid": (1, 1)}
FORMAT_VERSIONS = (1, 2, 3)  # that are read; the second has position parts of rows and columns, the third of time too


def config_to_dict(config: MotionEmbeddingConfig) -> dict[str, Any]:
    """The config as JSON values."""
    values = {**config.unknown, **config.to_dict(), "peft_type": PEFT_TYPE, "inference_mode": True}
    values["format_version"] = 3 if "p" in config.parts else 1
    for name, default in LATER_SETTINGS.items():
        if values[name] == default:
            del values[name]
    return json.loads(json.dumps(values))


def parse_config(values: Any, place: str) -> MotionEmbeddingConfig:
    """A config from JSON values.

    Raises:
        EmbeddingFileError: If the values do not describe a motion embedding, or are invalid.
    """
    if not isinstance(values, dict) or values.get("peft_type") != PEFT_TYPE:
        kind = values.get("peft_type") if isinstance(values, dict) else type(values).__name__
        raise EmbeddingFileError(
            f"{place} describes no motion embedding: peft_type is {kind!r}, expected {PEFT_TYPE!r}."
        )
    version = values.get("format_version", 1)
    if version not in FORMAT_VERSIONS:
        raise EmbeddingFileError(
            f"{place}: format_version is {version!r}, and this package reads {FORMAT_VERSIONS[0]} to "
            f"{FORMAT_VERSIONS[-1]}; a newer release of diffusers_motion_embed may read it."
        )
    for name in ("target_modules", "exclude_modules"):
        if isinstance(values.get(name), str):  # a regular expression from a stranger may never finish
            raise EmbeddingFileError(f"{place}: {name} must be a list of paths, got {values[name][:80]!r}.")
    known = {entry.name for entry in fields(MotionEmbeddingConfig)}
    try:
        config = MotionEmbeddingConfig(**{name: value for name, value in values.items() if name in known})
    except (ValueError, TypeError) as error:
        raise EmbeddingFileError(f"{place}: {error}") from error
    config.unknown = {name: value for name, value in values.items() if name not in known}
    return config
