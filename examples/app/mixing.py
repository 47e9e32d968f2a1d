"""The tab in which motions are mixed into a new one."""

from pathlib import Path
from typing import Any, NamedTuple

from diffusers_motion_embed.arithmetic import CombinationType, combined_embedding, reversed_embedding
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import read_embedding, write_embedding
from examples.app import drawing
from examples.app.speaking import words
from examples.app.trying import MAX_SEED, Trying, reference_of
from examples.app.visitors import checked


ROWS = 3
MODES: dict[str, CombinationType] = {"all at once": "linear", "one after the other": "cat"}


class Ingredient(NamedTuple):
    """One motion of a mix: its folder, its scale, and whether it runs backwards."""

    motion: Path
    scale: float
    is_reversed: bool

    def embedding(self) -> Embedding:
        """What it adds."""
        embedding = read_embedding(self.motion)
        return reversed_embedding(embedding) if self.is_reversed else embedding


class Mixing(Trying):
    """What the tab does, without its looks."""

    def mix(self, key: str, mode: str, name: str, prompt: str, seed: float, *rows: Any) -> tuple[Any, ...]:
        """Make a new motion of those in the rows, and show it on a prompt.

        Args:
            key: Of the visitor.
            mode: One of `MODES`.
            name: For the new motion.
            prompt: What the clip shows.
            seed: Of its noise.
            *rows: Name, scale and direction of each motion in turn; rows without a name are left out.
        """
        with words():
            visitor = self.visitors.of(key)
            given = [rows[start : start + 3] for start in range(0, len(rows), 3)]
            chosen = [Ingredient(visitor.motion(each), *others) for each, *others in given if each]
            if not chosen:
                raise ValueError("Choose a motion or several: there is nothing to mix yet.")
            target = mixed(chosen, MODES[mode], visitor.new_motion(name or "mix"))
            frames = min(sum_or_most(chosen, mode), self.options.max_frames)
            size = self.size(frames, self.options.height, self.options.width)
            clip = self.workshop.clip(size, prompt, checked("seed", seed + 1, MAX_SEED) - 1, target)
        fps = self.options.fps or 8
        shown = [("mixed", clip, fps)]
        for each in chosen:
            reference, own_fps = reference_of(each.motion, fps)
            shown += [] if reference is None else [(each.motion.name, reference, own_fps)]
        return drawing.clips(shown), *self.files(target, clip, fps)


def sum_or_most(chosen: list[Ingredient], mode: str) -> int:
    """Frames of the mix."""
    lengths = [each.embedding().config.num_frames for each in chosen]
    return sum(lengths) if MODES[mode] == "cat" else max(lengths)


def mixed(chosen: list[Ingredient], combination_type: CombinationType, target: Path) -> Path:
    """Write the mix of motions as a new one, and return its folder."""
    embeddings, scales = [each.embedding() for each in chosen], [each.scale for each in chosen]
    mix = combined_embedding(embeddings, scales, combination_type)
    said = [each.config.training for each in embeddings]
    training = {"combination": combination_type, "scales": scales, "embeddings": said}
    return write_embedding(target, Embedding(mix.config.changed(training=training), mix.tensors))
