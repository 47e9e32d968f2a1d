"""Motion embeddings through PEFT: the tuner behind `get_peft_model` and `PeftModel.from_pretrained`.

Inside a pipeline's model such layers would break diffusers' LoRA calls, which take every `BaseTunerLayer` for a LoRA.
There, `loaders` puts plain `MotionEmbeddingLayer`s. Each way reads the other's files.
"""

from typing import Any, cast

import torch
from diffusers.models.modeling_utils import ModelMixin
from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import Tensor, nn

from diffusers_motion_embed._compat import tuner_refusal
from diffusers_motion_embed.adapter.attachment import CHILD_NAME, attach, detach, query_projection
from diffusers_motion_embed.adapter.layer import LayerEmbedding, MotionEmbeddingLayer
from diffusers_motion_embed.adapter.registry import layer_arguments, registry_of
from diffusers_motion_embed.adapter.selection import (
    EmbeddingShape,
    check_fits,
    embedding_shapes,
    select_layers,
    stored_shapes,
)
from diffusers_motion_embed.adapter.state import EmbeddingState
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.architectures.layouts import Layout
from diffusers_motion_embed.architectures.rotary import Rotary
from diffusers_motion_embed.arithmetic import CombinationType, combined_embedding
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.errors import AdapterNameError, EmbeddingFileError, IncompatibleEmbeddingError
from diffusers_motion_embed.functional import with_time
from diffusers_motion_embed.storage.compact import expand
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import PREFIX, read_embedding
from diffusers_motion_embed.storage.hub import fetch_embedding


MERGE_MESSAGE = (
    "A motion embedding cannot be merged: it adds vectors that differ from frame to frame, and a weight matrix is the "
    "same for all frames. Keep it as an adapter, and save it with save_pretrained()."
)


class MotionEmbeddingTunerLayer(MotionEmbeddingLayer, BaseTunerLayer):
    """A `MotionEmbeddingLayer` whose embeddings are registered parameters, as PEFT's bookkeeping expects."""

    adapter_layer_names = ("motion_embedding_qk", "motion_embedding_v", "motion_embedding_p")
    other_param_names = ("states",)

    def __init__(self, layout: Layout, rotary: Rotary | None = None) -> None:
        super().__init__(layout, rotary)
        self.motion_embedding_qk = nn.ParameterDict()
        self.motion_embedding_v = nn.ParameterDict()
        self.motion_embedding_p = nn.ParameterDict()
        self.states: dict[str, EmbeddingState] = {}
        self.merged_adapters: list[str] = []
        self.device = torch.device("cpu")  # the attention's device
        self._disable_adapters = False
        self._active_adapter: list[str] = []

    def parameters_by_part(self) -> dict[str, nn.ParameterDict]:
        """The parameters of all adapters, by part and adapter name."""
        return {"qk": self.motion_embedding_qk, "v": self.motion_embedding_v, "p": self.motion_embedding_p}

    def update_layer(self, adapter_name: str, shape: EmbeddingShape, config: MotionEmbeddingConfig) -> None:
        """Add a zero embedding. The model still computes what it computed before."""
        for part, size in shape.tensor_shapes().items():
            self.parameters_by_part()[part][adapter_name] = nn.Parameter(torch.zeros(size))
        self.states[adapter_name] = EmbeddingState(config)

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: torch.device | None = None) -> None:
        # PEFT's own method asks the base layer, which a layer that wraps nothing lacks, and casts to its dtype.
        device = self.device if device is None else device
        for parameters in self.parameters_by_part().values():
            if adapter_name in parameters and "meta" not in (device.type, parameters[adapter_name].device.type):
                parameters[adapter_name].data = parameters[adapter_name].data.to(device)

    def active_embeddings(self) -> list[LayerEmbedding]:
        """The embeddings of the active adapters; none while adapters are disabled."""
        if self.disable_adapters:
            return []
        for name in self.active_adapters:
            if name in self.states:
                self.states[name].follow()
        return [
            LayerEmbedding(
                {part: each[name] for part, each in self.parameters_by_part().items() if name in each},
                self.states[name],
            )
            for name in self.active_adapters
            if name in self.states
        ]

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Always raises a ValueError: motion embeddings cannot be merged."""
        raise ValueError(MERGE_MESSAGE)

    unmerge = merge


# Settings that a file's header says.
FROM_HEADER = (
    *("num_frames", "num_latent_frames", "value_grid", "position_grid"),
    *("parts", "debias", "timing", "frame_policy", "format_version"),
)
NO_TARGETS: dict[str, list[str]] = {}  # by model type, where PEFT looks for them; here the table of model classes says


class MotionEmbeddingModel(BaseTuner):
    """Puts motion embeddings on the attention layers of a video model that mix frames.

    Args:
        model: A model of a class in `architectures.ARCHITECTURES`.
        peft_config: A `MotionEmbeddingConfig`, or configs by adapter name.
        adapter_name: Name of the first adapter.

    Example:
        ```python
        config = MotionEmbeddingConfig(num_frames=16)
        peft_model = get_peft_model(pipe.unet, config)
        ```
    """

    model: ModelMixin
    prefix = PREFIX
    tuner_layer_cls = MotionEmbeddingTunerLayer
    target_module_mapping = NO_TARGETS
    # Makes `inject_adapter_in_model` and `add_adapter` of diffusers' models refuse before they change anything.
    uses_shared_state = True
    _combined: Embedding | None = None  # the content of the adapter that is being added

    def _prepare_adapter_config(self, peft_config: PeftConfig, model_config: dict) -> PeftConfig:
        if refusal := tuner_refusal():
            raise ImportError(refusal)
        if registry_of(self.model).loaded:
            raise AdapterNameError(
                "The model has motion embeddings through load_motion_embedding already, and the two do not mix. Call "
                "unload_motion_embedding() first, or load all of them that way."
            )
        peft_config, architecture = _checked(peft_config), find_architecture(self.model)
        if peft_config.model_class not in (None, architecture.model_class):
            raise IncompatibleEmbeddingError(
                f"The motion embedding belongs to a {peft_config.model_class}, and the model is a "
                f"{type(self.model).__name__}."
            )
        embedding = self._combined
        if peft_config.source is not None:  # check all of it before anything changes
            embedding = read_embedding(fetch_embedding(**peft_config.source))
            check_fits(self.model, embedding)
            # The file's header wins over the JSON, which is all that PEFT has read.
            for name in FROM_HEADER:
                setattr(peft_config, name, getattr(embedding.config, name))
        if embedding is not None:
            paths, self._shapes = list(embedding.tensors), stored_shapes(embedding.tensors)
        else:
            peft_config.value_grid = peft_config.value_grid or architecture.value_grid
            paths = select_layers(self.model, peft_config)
            self._shapes = embedding_shapes(self.model, peft_config, paths)
        peft_config.target_modules = list(paths)
        peft_config.exclude_modules = None
        peft_config.model_class = architecture.model_class
        return peft_config

    def _create_and_replace(
        self,
        peft_config: PeftConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        _check_key(adapter_name)
        architecture = find_architecture(self.model)
        layer = target._modules.get(CHILD_NAME)
        if not isinstance(layer, MotionEmbeddingTunerLayer):
            layer = MotionEmbeddingTunerLayer(*layer_arguments(self.model, current_key))
        layer.update_layer(adapter_name, self._shapes[current_key], _checked(peft_config))
        layer.device = next(self.model.parameters() if layer.rotary else query_projection(target).parameters()).device
        layer._move_adapter_to_device_of_base_layer(adapter_name)
        attach(target, self.model.get_submodule(architecture.size_module(current_key)), layer)

    def _unload_and_optionally_merge(  # PEFT declares None, and returns what this returns
        self,
        merge: bool = True,
        progressbar: bool = True,
        safe_merge: bool = False,
        adapter_names: list[str] | None = None,
    ) -> Any:
        if merge:
            raise ValueError(MERGE_MESSAGE)
        for path in self.targeted_module_names:
            detach(self.model, self._layer(path))
        if hasattr(self.model, "peft_config"):  # as other tuners do: the model is plain again
            del self.model.peft_config
        return self.model

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
        """Always raises a ValueError: motion embeddings cannot be merged."""
        raise ValueError(MERGE_MESSAGE)

    def add_weighted_adapter(
        self,
        adapters: list[str],
        weights: list[float],
        adapter_name: str,
        combination_type: CombinationType = "linear",
    ) -> None:
        """Make a new adapter out of loaded ones. It is inactive until `set_adapter` activates it.

        Args:
            adapters: Names of loaded adapters.
            weights: One for each.
            adapter_name: Name of the new adapter.
            combination_type: "linear" is the weighted sum: all motions at once, with shorter ones stretched to the
                longest. "cat" puts them one after the other in time.

        Raises:
            AdapterNameError: If an adapter is unknown, or `adapter_name` is in use or cannot be a key of torch's
                `ParameterDict`, such as a name with a dot.
            IncompatibleEmbeddingError: If the adapters differ in timing or frame policy.
            ValueError: If there is not one finite weight for each, or no such `combination_type`.
        """
        unknown = [name for name in adapters if name not in self.peft_config]
        if unknown or not adapters or adapter_name in self.peft_config:
            wrong = f"{adapter_name!r} is in use" if adapter_name in self.peft_config else f"unknown: {unknown}"
            raise AdapterNameError(f"Combine loaded adapters {sorted(self.peft_config)} under a new name; {wrong}.")
        _check_key(adapter_name)
        combined = combined_embedding(list(map(self._embedding, adapters)), weights, combination_type)
        training = {"combination": combination_type, "adapters": list(adapters), "weights": list(weights)}
        config = combined.config.changed(training=training)
        self.peft_config[adapter_name], self._combined = config, Embedding(config, combined.tensors)
        try:
            self.inject_adapter(self.model, adapter_name)
        except BaseException:
            self.delete_adapter(adapter_name)
            raise
        finally:
            self._combined = None
        for path, parts in combined.tensors.items():
            for part, parameters in self._layer(path).parameters_by_part().items():
                if part in parts:
                    new = parameters[adapter_name].requires_grad_(False)
                    new.data = parts[part].to(new)

    def _embedding(self, adapter_name: str) -> Embedding:
        """A loaded adapter as one value; its tensors are the parameters' own."""
        config, tensors = _checked(self.peft_config[adapter_name]), {}
        for path in config.target_modules or ():
            parts = self._layer(path).parameters_by_part().items()
            tensors[path] = {part: each[adapter_name].detach() for part, each in parts if adapter_name in each}
        return Embedding(config, tensors)

    def _layer(self, path: str) -> MotionEmbeddingTunerLayer:
        return cast(MotionEmbeddingTunerLayer, self.model.get_submodule(f"{path}.{CHILD_NAME}"))

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        # From "base_model.model.mid_block.attn1.motion_embedding.motion_embedding_qk.default"
        # to   "base_model.model.mid_block.attn1.motion_embedding_qk"
        return key.removesuffix(f".{adapter_name}").replace(f".{CHILD_NAME}.{PREFIX}", f".{PREFIX}")

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: PeftConfig, adapter_name: str, state_dict: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        return super()._remap_adapter_state_dict_for_load(model, config, adapter_name, expand_parts(state_dict))


def _check_key(adapter_name: str) -> None:
    """Raise an `AdapterNameError` if parameters cannot have the name, before torch adds a part of them."""
    is_key = isinstance(adapter_name, str) and adapter_name and "." not in adapter_name
    if not is_key or hasattr(nn.ParameterDict(), adapter_name):
        raise AdapterNameError(
            f"Through PEFT, parameters have the adapter's name, which must then be a text that is not empty, has no "
            f"dot and is no attribute of torch's ParameterDict, such as 'keys'; got {adapter_name!r}. Choose another, "
            "or use load_motion_embedding, where a name may be any text."
        )


def _checked(config: PeftConfig) -> MotionEmbeddingConfig:
    if not isinstance(config, MotionEmbeddingConfig):
        raise TypeError(f"Motion embeddings need a MotionEmbeddingConfig, got a {type(config).__name__}.")
    return config


def expand_parts(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Replace the compact form of parts by the parts, and give time to position parts of files that have none."""
    expanded = {}
    for key, tensor in state_dict.items():
        if key.endswith("_codes"):
            part = key.removesuffix("_codes")
            if f"{part}_levels" not in state_dict:
                raise EmbeddingFileError(f"{key} has no levels to go with.")
            expanded[part] = expand(tensor, state_dict[f"{part}_levels"])
        elif not key.endswith("_levels"):
            expanded[key] = with_time(tensor) if key.endswith(f"{PREFIX}p") else tensor
    return expanded
