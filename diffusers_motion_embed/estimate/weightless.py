"""Pipelines without weights, from the settings of their components alone."""

import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKLAllegro, MotionAdapter, SchedulerMixin
from diffusers.models.modeling_utils import ModelMixin
from huggingface_hub import snapshot_download
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from transformers import PreTrainedModel

from diffusers_motion_embed.errors import UnsupportedModelError


INDEX = "model_index.json"
SETTINGS = (INDEX, "config.json", "*/config.json", "*/scheduler_config.json")


def settings_folder(name: str, revision: str | None = None, token: str | bool | None = None) -> Path:
    """The folder of a pipeline or a model; of a repository on the Hub only its settings are downloaded.

    Args:
        name: A folder, or a repository's name.
        revision: Which revision of the repository.
        token: Access token; by default that of the current login.
    """
    if Path(name).is_dir():
        return Path(name)
    return Path(snapshot_download(name, revision=revision, token=token, allow_patterns=list(SETTINGS)))


def weightless_pipeline(folder: Path, dtype: torch.dtype, motion_adapter: Path | None = None) -> Any:
    """A pipeline whose models have shapes and types but no numbers, nor tokenizers.

    Its models compute nothing, and still show what computing would allocate.

    Args:
        folder: Folder with the settings of the pipeline's components.
        dtype: The type of the weights.
        motion_adapter: Folder of an AnimateDiff motion adapter for an image model.

    Raises:
        UnsupportedModelError: If it is not a pipeline of diffusers, or a component is of an unknown kind.
    """
    path = folder / INDEX
    if not path.is_file():
        raise UnsupportedModelError(f"There is no {INDEX} in {folder}, so it is no pipeline that can be estimated.")
    index = json.loads(path.read_text(encoding="utf-8"))
    pipeline_class: Any = getattr(diffusers, "AnimateDiffPipeline" if motion_adapter else index["_class_name"], None)
    if pipeline_class is None:
        raise UnsupportedModelError(f"diffusers has no {index['_class_name']}, which {path} names.")
    wanted = [name for name in inspect.signature(pipeline_class.__init__).parameters if name != "self"]
    parts: dict[str, Any] = dict.fromkeys(pipeline_class._get_signature_keys(pipeline_class)[0])
    with FakeTensorMode(allow_non_fake_inputs=True):
        parts |= {name: _component(folder / name, index[name], dtype) for name in wanted if name in index}
        if motion_adapter:
            adapter = MotionAdapter.from_config(MotionAdapter.load_config(motion_adapter))
            parts["motion_adapter"] = cast_weights(adapter, dtype)
        return pipeline_class(**parts)


def _component(folder: Path, entry: Any, dtype: torch.dtype) -> Any:
    """A component as `model_index.json` names it: [library, class]; or a setting of the pipeline itself."""
    if not isinstance(entry, list) or entry[1] is None:
        return None if isinstance(entry, list) else entry
    library, name = entry
    module = library if library in ("diffusers", "transformers") else f"diffusers.pipelines.{library}"
    try:
        component_class = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        if not (folder / "config.json").is_file():
            return None  # no model: a tokenizer that comes with the repository's own code
        raise UnsupportedModelError(f"{folder.name} is a {library} {name}, which is not known here.") from error
    if issubclass(component_class, SchedulerMixin):
        with unset_fake_temporarily():  # some read their own numbers
            return component_class.from_pretrained(folder)
    if not issubclass(component_class, (ModelMixin, PreTrainedModel)):
        return None  # a tokenizer, or what prepares pictures
    if issubclass(component_class, ModelMixin):
        model = component_class.from_config(component_class.load_config(folder))
        if issubclass(component_class, AutoencoderKLAllegro):
            model.enable_tiling()  # it computes in no other way
    else:
        model = component_class(component_class.config_class.from_pretrained(folder))
    return cast_weights(model, dtype)


def cast_weights(model: Any, dtype: torch.dtype) -> Any:
    """The frozen model with weights in a type, but for those that `from_pretrained` keeps in float32."""
    kept = {*(getattr(model, "_keep_in_fp32_modules_strict", None) or ())}
    if isinstance(model, ModelMixin) or dtype is torch.float16:
        kept |= {*(getattr(model, "_keep_in_fp32_modules", None) or ())}
    done: dict[int, Tensor] = {}  # models share some

    def cast(tensor: Tensor, path: str) -> Tensor:
        wanted = torch.float32 if kept & {*path.split(".")} else dtype
        if id(tensor) not in done and tensor.is_floating_point():
            done[id(tensor)] = tensor.detach().to(wanted)
        return done.get(id(tensor), tensor)

    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            cast_one = nn.Parameter(cast(parameter, f"{path}.{name}"), requires_grad=False)
            module.register_parameter(name, cast_one)
        for name, buffer in module.named_buffers(recurse=False):
            if name not in module._non_persistent_buffers_set:  # those are made anew, and not read from a file
                setattr(module, name, cast(buffer, f"{path}.{name}"))
    return model.eval()
