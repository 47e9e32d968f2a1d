"""Motion embeddings for diffusers video pipelines: load, scale and mix what a reference video taught.

Importing this package registers the adapter type with PEFT and changes nothing else.
"""

from diffusers_motion_embed.adapter.layer import MotionEmbeddingLayer
from diffusers_motion_embed.architectures.latents import pipeline_latents
from diffusers_motion_embed.arithmetic import concatenate_motion_embeddings, reverse_motion_embedding
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.controls import (
    disable_motion_embedding_layers,
    enable_motion_embedding_layers,
    get_active_motion_embeddings,
    get_list_motion_embeddings,
    set_motion_debias,
    set_motion_embeddings,
    set_motion_frame_policy,
    set_motion_region,
    set_motion_scale,
    set_motion_timing,
)
from diffusers_motion_embed.errors import (
    AdapterNameError,
    CaptionError,
    DividedClipError,
    EmbeddingAccessError,
    EmbeddingDownloadError,
    EmbeddingFileError,
    EmbeddingNotFoundError,
    EmbeddingUploadError,
    IncompatibleEmbeddingError,
    MissingLayersError,
    MotionEmbeddingError,
    MotionScaleError,
    NotFiniteError,
    TargetModulesError,
    UnsupportedModelError,
    VideoError,
    VideoNotFoundError,
)
from diffusers_motion_embed.loaders import (
    LoadReport,
    delete_motion_embedding,
    load_motion_embedding,
    unload_motion_embedding,
)
from diffusers_motion_embed.noise import invert_clip, load_inverted_noise, mix_noise, save_inverted_noise
from diffusers_motion_embed.peft_tuner import MotionEmbeddingModel, register_motion_embedding
from diffusers_motion_embed.pipelines import MotionEmbeddingLoaderMixin, enable_motion_embedding
from diffusers_motion_embed.sharing import (
    push_embedding_folder,
    push_motion_embedding_to_hub,
    save_motion_embedding,
)
from diffusers_motion_embed.video import ReferenceClip, read_reference, read_video


__version__ = "0.1.0"

__all__ = [
    "AdapterNameError",
    "CaptionError",
    "DividedClipError",
    "EmbeddingAccessError",
    "EmbeddingDownloadError",
    "EmbeddingFileError",
    "EmbeddingNotFoundError",
    "EmbeddingUploadError",
    "IncompatibleEmbeddingError",
    "LoadReport",
    "MissingLayersError",
    "MotionEmbeddingConfig",
    "MotionEmbeddingError",
    "MotionEmbeddingLayer",
    "MotionEmbeddingLoaderMixin",
    "MotionEmbeddingModel",
    "MotionScaleError",
    "NotFiniteError",
    "ReferenceClip",
    "TargetModulesError",
    "UnsupportedModelError",
    "VideoError",
    "VideoNotFoundError",
    "concatenate_motion_embeddings",
    "delete_motion_embedding",
    "disable_motion_embedding_layers",
    "enable_motion_embedding",
    "enable_motion_embedding_layers",
    "get_active_motion_embeddings",
    "get_list_motion_embeddings",
    "invert_clip",
    "load_inverted_noise",
    "load_motion_embedding",
    "mix_noise",
    "pipeline_latents",
    "push_embedding_folder",
    "push_motion_embedding_to_hub",
    "read_reference",
    "read_video",
    "register_motion_embedding",
    "reverse_motion_embedding",
    "save_inverted_noise",
    "save_motion_embedding",
    "set_motion_debias",
    "set_motion_embeddings",
    "set_motion_frame_policy",
    "set_motion_region",
    "set_motion_scale",
    "set_motion_timing",
    "unload_motion_embedding",
]

register_motion_embedding()  # safe to repeat
