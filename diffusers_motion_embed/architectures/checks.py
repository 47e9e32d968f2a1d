"""Whether this package can run a pipeline's model by itself, outside the pipeline's call."""

from collections.abc import Mapping
from typing import Any

from diffusers.models.modeling_utils import ModelMixin

from diffusers_motion_embed.architectures import supported_models
from diffusers_motion_embed.architectures.noising import check_timesteps, noising_of
from diffusers_motion_embed.errors import UnsupportedModelError


def check_pipeline(
    pipe: Any, component: str | None = None, *, purpose: str = "trained", adds_noise: bool = True
) -> tuple[str, ModelMixin]:
    """Name and model of the component that is run.

    Args:
        pipe: The pipeline.
        component: Name of one of its models that take motion embeddings; the first by default.
        purpose: What is done with it, for errors: it cannot be "trained".
        adds_noise: Whether the model is to see noisy clips, as in training. Tracking shows it none.

    Raises:
        UnsupportedModelError: If the model cannot be run.
    """
    cannot = f"{type(pipe).__name__} cannot be {purpose}"
    models = supported_models(pipe)
    missing = [name for name in ("vae", "scheduler") if getattr(pipe, name, None) is None]
    if not models or missing:
        lacking = ", ".join(missing) if models else "model that takes motion embeddings"
        raise UnsupportedModelError(f"{cannot}: it has no {lacking}.")
    component = component or next(iter(models))
    if component not in models:
        raise UnsupportedModelError(
            f"{type(pipe).__name__} has no {component!r} that takes motion embeddings; it has {', '.join(models)}."
        )
    model = models[component]
    if adds_noise:
        check_timesteps(model)
        noising_of(pipe.scheduler)
    # A pipeline's map may also be the name of one device. One device has several names, so maps are not compared.
    maps = (getattr(each, "hf_device_map", None) for each in (pipe, model))
    if any(isinstance(each, Mapping) and len({str(device) for device in each.values()}) > 1 for each in maps):
        raise UnsupportedModelError(
            f"{cannot} while its components are spread over devices by a device map. Put the model on one device: "
            "call pipe.reset_device_map(), then pipe.to(device) or pipe.enable_model_cpu_offload()."
        )
    if getattr(model.config, "image_condition_type", None) == "token_replace":
        raise UnsupportedModelError(
            f"{cannot} yet: this {type(model).__name__} gets its first frame among the noisy ones."
        )
    return component, model
