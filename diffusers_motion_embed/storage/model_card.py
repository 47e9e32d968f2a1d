"""The model card of an embedding repository: metadata for the Hub, a preview, and code that runs."""

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import diffusers
from huggingface_hub import ModelCard, ModelCardData

from diffusers_motion_embed.architectures.conditioning import FRAMES
from diffusers_motion_embed.config import MotionEmbeddingConfig


TEMPLATE = Path(__file__).with_name("model_card_template.md")
TAGS = ["diffusers", "motion-embedding", "template:sd-lora"]  # the last gives a repository its gallery on the Hub
CARD_NAME = "README.md"
PREVIEW_SUFFIXES = (".mp4", ".gif", ".png")
FIGURES = ("prompts", "motion_fidelity", "motion_fidelity_without", "appearance_leakage")
PICTURE_MODELS = ("ConsisIDTransformer3DModel", "I2VGenXLUNet", "UNetSpatioTemporalConditionModel")


def make_model_card(
    config: MotionEmbeddingConfig,
    repo_id: str,
    previews: Iterable[tuple[str, str]] = (),
    license: str = "other",
) -> ModelCard:
    """The model card of an embedding.

    Args:
        config: The embedding's settings.
        repo_id: Id of the repository, for the example.
        previews: Names of preview files in the repository, each with the prompt that it shows.
        license: Identifier of the license, as on the Hub.
    """
    base = config.base_model_name_or_path
    shown = [{"name": name, "text": text} for name, text in previews]
    is_on_hub = bool(base and "/" in base)  # a local folder's name is not a repository
    data = ModelCardData(
        base_model=base if is_on_hub else None,
        license=license,
        library_name="diffusers",
        pipeline_tag="image-to-video" if begins_with_picture(config) else "text-to-video",
        tags=TAGS,
        base_model_relation="adapter" if is_on_hub else None,
        widget=[{"text": preview["text"], "output": {"url": preview["name"]}} for preview in shown] or None,
    )
    return ModelCard.from_template(
        data,
        template_path=str(TEMPLATE),
        title=repo_id.rpartition("/")[2],
        base_text=f"[{base}](https://huggingface.co/{base})" if is_on_hub else base or config.model_class,
        previews=shown,
        example=example_code(config, repo_id),
        measured=_measured(config),
        facts=[(name, _cell(value)) for name, value in _facts(config).items()],
    )


def preview_files(folder: Path) -> list[Path]:
    """The files of an embedding's folder that its card shows."""
    return [path for path in sorted(folder.iterdir()) if path.stem == "preview" and path.suffix in PREVIEW_SUFFIXES]


def example_code(config: MotionEmbeddingConfig, repo_id: str) -> str:
    """A Python program that uses the embedding with the base model and settings of its previews."""
    scheduler = _identifier(config.generation.get("scheduler"))
    classes = {
        _pipeline(config),
        *(["MotionAdapter"] if _adapter(config) else []),
        *([scheduler] if scheduler else []),
    }
    utilities = ["export_to_video", *(["load_image"] if begins_with_picture(config) else [])]
    return "\n".join(
        [
            "import torch",
            f"from diffusers import {', '.join(sorted(classes))}",
            f"from diffusers.utils import {', '.join(utilities)}",
            "",
            "from diffusers_motion_embed import enable_motion_embedding",
            "",
            *_loading(config, scheduler),
            "enable_motion_embedding(pipe)",
            f"pipe.load_motion_embedding({repo_id!r})",
            f"video = pipe({', '.join(_call_arguments(config))}).frames[0]",
            f'export_to_video(video, "video.mp4", fps={config.generation.get("fps", 8)!r})',
        ]
    )


def begins_with_picture(config: MotionEmbeddingConfig) -> bool:
    """Whether the base makes a clip of a picture: if its pipeline takes one, or all pipelines of its model do."""
    known = _call_parameters(config)
    return config.model_class in PICTURE_MODELS if known is None else "image" in known


def _loading(config: MotionEmbeddingConfig, scheduler: str | None) -> list[str]:
    """Lines that load the pipeline."""
    base, adapter = config.base_model_name_or_path or "path/to/the/base/model", _adapter(config)
    extra = "motion_adapter=adapter, " if adapter else ""
    lines = [f"adapter = MotionAdapter.from_pretrained({adapter!r}, dtype=torch.float16)"] if adapter else []
    lines.append(f'pipe = {_pipeline(config)}.from_pretrained({base!r}, {extra}dtype=torch.float16).to("cuda")')
    if scheduler:
        settings = config.generation.get("scheduler_config") or {}
        changes = "".join(f", {name}={value!r}" for name, value in settings.items())
        lines.append(f"pipe.scheduler = {scheduler}.from_config(pipe.scheduler.config{changes})")
    return lines


def _call_arguments(config: MotionEmbeddingConfig) -> Iterator[str]:
    """The arguments of the pipeline's call, as far as it takes them."""
    known = _call_parameters(config)
    given = {
        "prompt": config.generation.get("prompt", "a panda surfs on a wave"),
        **dict.fromkeys(FRAMES if known else FRAMES[:1], config.num_frames),
        "height": config.height,
        "width": config.width,
        **{name: config.generation.get(name) for name in ("num_inference_steps", "guidance_scale")},
    }
    if begins_with_picture(config):
        yield 'image=load_image("picture.png")'
    for name, value in given.items():
        if value is not None and (known is None or name in known):
            yield f"{name}={value!r}"


def _call_parameters(config: MotionEmbeddingConfig) -> set[str] | None:
    """The arguments that the call of the previews' pipeline takes; None if diffusers has no such pipeline."""
    named: Any = getattr(diffusers, _pipeline(config), None)
    is_pipeline = isinstance(named, type) and issubclass(named, diffusers.DiffusionPipeline)
    if not is_pipeline or named is diffusers.DiffusionPipeline:
        return None
    return set(inspect.signature(named.__call__).parameters)


def _pipeline(config: MotionEmbeddingConfig) -> str:
    return _identifier(config.generation.get("pipeline")) or "DiffusionPipeline"


def _adapter(config: MotionEmbeddingConfig) -> str | None:
    return config.generation.get("motion_adapter")


def _facts(config: MotionEmbeddingConfig) -> dict[str, Any]:
    size = f"{config.width} x {config.height} pixels" if config.width and config.height else None
    grid = config.value_grid
    facts = {
        "model class": config.model_class,
        "reference": ", ".join(filter(None, (f"{config.num_frames} frames", size))),
        "adapted layers": _num_layers(config),
        "debiasing": config.debias if "v" in config.parts else None,
        "value grid": (grid if grid in (None, "full") else " x ".join(map(str, grid)))
        if "v" in config.parts
        else None,
        "position grid": " x ".join(map(str, config.position_grid)) if "p" in config.parts else None,
        **{name.replace("_", " "): value for name, value in config.training.items() if name != "measured"},
    }
    return {name: value for name, value in facts.items() if value is not None}


def _measured(config: MotionEmbeddingConfig) -> dict[str, float] | None:
    """What the run's validation clips measure, as `reports.mean_figures` has it; None if a file does not say."""
    found = config.training.get("measured")
    is_known = isinstance(found, dict) and all(isinstance(found.get(name), (int, float)) for name in FIGURES)
    return found if is_known else None


def _num_layers(config: MotionEmbeddingConfig) -> int | None:
    if not isinstance(config.target_modules, list):
        return None
    return len(config.target_modules) - ("p" in config.parts)  # one of them has the positions


def _identifier(name: Any) -> str | None:
    return name if isinstance(name, str) and name.isidentifier() else None


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
