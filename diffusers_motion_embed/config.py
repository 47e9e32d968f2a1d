"""`MotionEmbeddingConfig`: everything about an embedding but its numbers. It is the header of its file."""

import numbers
import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from peft import PeftConfig

from diffusers_motion_embed.functional import FRAME_POLICIES, Debias, FramePolicy, debias_weights
from diffusers_motion_embed.values import is_whole_number, whole_number


PEFT_TYPE = "MOTION_EMBEDDING"
LAYER_PARTS = ("qk", "v")  # one for each adapted layer
PARTS = (*LAYER_PARTS, "p")  # and one for the whole model

# Height and width in positions, each layer's own full grid, or a choice by model class.
ValueGrid = tuple[int, int] | Literal["full"] | None


@dataclass
class MotionEmbeddingConfig(PeftConfig):
    """Settings of a motion embedding.

    Args:
        num_frames: Frames of the reference clip, as pixels.
        num_latent_frames: Frames that the model's attention sees; fewer than `num_frames` where the VAE compresses
            time. The same as `num_frames` by default.
        height: Height of the reference clip, in pixels; None if unknown.
        width: Width of the reference clip, in pixels; None if unknown.
        latent_height: Height of the base model's input, in latent pixels; the model's own sample size by default.
        latent_width: Width of the base model's input, in latent pixels; the model's own sample size by default.
        value_grid: Height and width of the value part, in positions. It is stretched bilinearly to the grid of each
            layer. (1, 1) is one vector per frame. "full" gives every layer its own full grid, as in the paper. None
            chooses by model class: (4, 4) where separate layers mix frames, (1, 1) where all tokens attend to each
            other.
        target_modules: Which of the attention layers that mix frames are adapted: a regular expression for whole
            paths, or a list of path endings, as for other PEFT types. None chooses by model class.
        exclude_modules: Which of them are left out, in the same form.
        parts: Which parts it has: "qk" (added to the inputs of query and key), "v" (to the input of value), "p" (added
            to the places of tokens, in models with rotary positions).
        position_grid: Height and width of the position part, in positions. It is stretched bilinearly over the
            picture. (1, 1), the default, moves all of a frame alike.
        debias: How the value part is freed from appearance at inference, unless the user chooses otherwise:
            "identity", "difference", "difference_zero_first", "centered" or "free_placement".
        timing: Part of the noise schedule in which the embedding acts, unless the user chooses otherwise: (start,
            end), where 0 is pure noise and 1 the finished clip. None is all of it, and in training the noise levels
            that are trained at. In a PeftModel, which knows nothing of noise levels, the embedding always acts.
        frame_policy: What happens in clips of another length, unless the user chooses otherwise: "resample", "loop",
            "hold" or "error", see `functional.fit_frames`.
        model_class: Name of the diffusers model class that the embedding belongs to.
        component: Name of that model in its pipeline.
        generation: Settings that made the previews: fps, num_inference_steps, guidance_scale, scheduler, ...
        training: How the embedding was made: prompt, steps, learning rate, loss, ...
        format_version: Version of the file that it comes from, or that PEFT writes; `storage.files` knows the
            versions.

    Attributes:
        source: The arguments with which `from_pretrained` found the settings. The numbers are found with them too.
            None otherwise.
        unknown: Settings of a file that this version does not know. They are kept when the embedding is saved again.

    Raises:
        ValueError: If a setting has an invalid value.
    """

    num_frames: int = 16
    num_latent_frames: int = cast(int, None)  # a number once it is made
    height: int | None = None
    width: int | None = None
    latent_height: int | None = None
    latent_width: int | None = None
    value_grid: ValueGrid = None
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    parts: tuple[str, ...] = LAYER_PARTS
    debias: Debias = "difference"
    timing: tuple[float, float] | None = None
    frame_policy: FramePolicy = "resample"
    position_grid: tuple[int, int] = (1, 1)
    model_class: str | None = None
    component: str | None = None
    generation: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    format_version: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        from peft import PeftType  # extended by the registration, which imports this module

        self.peft_type = getattr(PeftType, PEFT_TYPE)
        if self.num_latent_frames is None:
            self.num_latent_frames = self.num_frames
        for name in ("target_modules", "exclude_modules"):
            if isinstance(getattr(self, name), (set, tuple)):
                setattr(self, name, sorted(getattr(self, name)))
        self.source: dict[str, Any] | None = None
        self.unknown: dict[str, Any] = {}
        self._check()
        self.parts = tuple(part for part in PARTS if part in self.parts)
        if "p" in self.parts:  # which readers of version 1 do not know, nor those of version 2 that it moves in time
            self.format_version = max(self.format_version, 3)
        height, width = self.position_grid
        self.position_grid = (int(height), int(width))
        if self.value_grid is not None and not isinstance(self.value_grid, str):
            height, width = self.value_grid
            self.value_grid = (int(height), int(width))
        if self.timing is not None:
            start, end = self.timing
            self.timing = (float(start), float(end))

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str, subfolder: str | None = None, **kwargs: Any
    ) -> "MotionEmbeddingConfig":
        """The settings of a stored embedding, as `PeftConfig.from_pretrained` reads them, and where they come from."""
        config = super().from_pretrained(pretrained_model_name_or_path, subfolder=subfolder, **kwargs)
        hub_arguments = ("revision", "token", "cache_dir", "force_download", "local_files_only")
        config.source = {
            "pretrained_model_name_or_path": pretrained_model_name_or_path,
            "subfolder": subfolder,
            **{name: kwargs[name] for name in hub_arguments if name in kwargs},
        }
        return config

    @property
    def layer_parts(self) -> tuple[str, ...]:
        """The parts that every adapted layer has."""
        return tuple(part for part in self.parts if part in LAYER_PARTS)

    def changed(self, **settings: Any) -> "MotionEmbeddingConfig":
        """A copy with other settings. Settings that this version does not know are kept.

        Raises:
            ValueError: If a setting has an invalid value.
        """
        copy = replace(self, **settings)
        copy.source, copy.unknown = self.source, self.unknown
        return copy

    def _check(self) -> None:
        whole_number("num_frames", self.num_frames, 1)  # which may not be None
        for name in ("num_frames", "num_latent_frames", "height", "width", "latent_height", "latent_width"):
            if getattr(self, name) is not None:
                setattr(self, name, whole_number(name, getattr(self, name), 1))
        if self.value_grid not in (None, "full") and not _is_grid(self.value_grid):
            raise ValueError(
                f'value_grid must be two whole numbers of at least 1, "full", or None; got {self.value_grid!r}.'
            )
        if not _is_grid(self.position_grid):
            raise ValueError(f"position_grid must be two whole numbers of at least 1; got {self.position_grid!r}.")
        if self.timing is not None and not _is_timing(self.timing):
            raise ValueError(
                "timing must be (start, end), shares of the noise schedule with 0 <= start < end <= 1, or None; got "
                f"{self.timing!r}."
            )
        if isinstance(self.parts, str) or not self.parts or set(self.parts) - set(PARTS):
            raise ValueError(f'parts must be some of "qk", "v" and "p", as a list; got {self.parts!r}.')
        debias_weights(self.debias)  # raises if there is no such mode
        if self.frame_policy not in FRAME_POLICIES:
            raise ValueError(f"frame_policy must be one of {', '.join(FRAME_POLICIES)}; got {self.frame_policy!r}.")
        self._check_texts()

    def _check_texts(self) -> None:
        for name in ("target_modules", "exclude_modules"):
            _check_modules(name, getattr(self, name))
        for name in ("model_class", "component", "base_model_name_or_path"):
            if not isinstance(getattr(self, name), str | None):
                raise ValueError(f"{name} must be a text or None, got {getattr(self, name)!r}.")
        for name in ("generation", "training"):
            if not isinstance(getattr(self, name), dict):
                raise ValueError(f"{name} must be a dictionary, got {getattr(self, name)!r}.")


def _is_grid(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(is_whole_number(side, 1) for side in value)


def _is_timing(value: Any) -> bool:
    is_pair = isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value))
    return is_pair and 0 <= value[0] < value[1] <= 1


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _check_modules(name: str, value: Any) -> None:
    if isinstance(value, str):
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{name} must be a regular expression, got {value!r} ({error}).") from error
    elif value is not None and not (isinstance(value, list) and all(isinstance(entry, str) for entry in value)):
        raise ValueError(f"{name} must be a regular expression, a list of names, or None; got {value!r}.")
