"""The tab in which motions are mixed: into a new one, or each in its place of one clip."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diffusers_motion_embed.arithmetic import CombinationType, combined_embedding, reversed_embedding
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import read_embedding, write_embedding
from examples.app import drawing
from examples.app.places import EVERYWHERE, region
from examples.app.speaking import words
from examples.app.trying import Trying, checked_seed, reference_of
from examples.app.workshop import Acting


ROWS = 3
IN_PLACES = "each in its place"
MODES: dict[str, CombinationType | None] = {"one after the other": "cat", "all at once": "linear", IN_PLACES: None}
NOT_KEPT = "Files of motions hold no places. This mix is a clip to keep; your library has no new motion."


class Ingredient(NamedTuple):
    """One motion of a mix: its folder, its scale, whether it runs backwards, and where it acts."""

    motion: Path
    scale: float
    is_reversed: bool
    region: np.ndarray | None

    def embedding(self) -> Embedding:
        """What it adds."""
        embedding = read_embedding(self.motion)
        return reversed_embedding(embedding) if self.is_reversed else embedding

    def acting(self) -> Acting:
        """The same in a clip."""
        return Acting(self.embedding(), self.scale, region=self.region)


class Mixing(Trying):
    """What the tab does, without its looks."""

    def picture(self, prompt: str, seed: float) -> dict[str, Any]:
        """What is painted on: the first frame of the clip without motions."""
        with words():
            size = self.size(self.options.num_frames, self.options.height, self.options.width)
            clip = self.workshop.clip(size, prompt, checked_seed(seed))
        return {"background": drawing.enlarged(clip[0]), "layers": [], "composite": None}

    def mix(
        self, key: str, mode: str, name: str, prompt: str, seed: float, painting: Any, *rows: Any
    ) -> tuple[Any, ...]:
        """Mix the motions in the rows, and show the mix on a prompt.

        Args:
            key: The visitor's key.
            mode: One of `MODES`.
            name: For the new motion, where there is one.
            prompt: What the clip shows.
            seed: The seed of its noise.
            painting: What the canvas holds.
            *rows: Name, scale, direction and place of each motion in turn; rows without a name are left out.
        """
        with words():
            chosen = self._chosen(key, mode, painting, rows)
            way, number = MODES[mode], checked_seed(seed)
            frames = min(num_frames(chosen, way), self.options.max_frames)
            size = self.size(frames, self.options.height, self.options.width)
            target = mixed(chosen, way, self.visitors.of(key).new_motion(name or "mix")) if way else None
            acting = [Acting(read_embedding(target))] if target else [each.acting() for each in chosen]
            clip = self.workshop.clip(size, prompt, number, *acting)
        fps = self.options.fps or 8
        shown = [("mixed", clip, fps)]
        for each in chosen:
            reference, own_fps = reference_of(each.motion, fps)
            shown += [] if reference is None else [(each.motion.name, reference, own_fps)]
        told = "" if target else drawing.note(NOT_KEPT)
        return drawing.clips(shown) + told, *self.files(target, clip, fps)

    def _chosen(self, key: str, mode: str, painting: Any, rows: tuple[Any, ...]) -> list[Ingredient]:
        visitor, chosen = self.visitors.of(key), []
        for number in range(len(rows) // 4):
            name, scale, is_reversed, place = rows[4 * number : 4 * number + 4]
            if name:
                where = region(place if mode == IN_PLACES else EVERYWHERE, number, painting)
                chosen.append(Ingredient(visitor.motion(name), scale, is_reversed, where))
        if not chosen:
            raise ValueError("Choose a motion or several: there is nothing to mix yet.")
        return chosen


def num_frames(chosen: list[Ingredient], way: CombinationType | None) -> int:
    """Frames of the mix."""
    lengths = [each.embedding().config.num_frames for each in chosen]
    return sum(lengths) if way == "cat" else max(lengths)


def mixed(chosen: list[Ingredient], way: CombinationType, target: Path) -> Path:
    """Write the mix of motions as a new one, and return its folder."""
    embeddings, scales = [each.embedding() for each in chosen], [each.scale for each in chosen]
    mix = combined_embedding(embeddings, scales, way)
    training = {"combination": way, "scales": scales, "embeddings": [each.config.training for each in embeddings]}
    return write_embedding(target, Embedding(mix.config.changed(training=training), mix.tensors))
