"""A step of training asks its device for no number, for which it would have to wait.

The estimate's tests take such steps with all families; what these add are the losses and the position part.
"""

import pytest
import torch
from diffusers import WanTransformer3DModel
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.adapter.registry import in_training
from diffusers_motion_embed.adapter.selection import select_layers
from diffusers_motion_embed.architectures import patch_size
from diffusers_motion_embed.architectures.noising import noising_of
from diffusers_motion_embed.config import PARTS
from diffusers_motion_embed.estimate.inputs import Subject, conditioning_of
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.training import TrainingConfig
from diffusers_motion_embed.training.optimization import Optimization
from diffusers_motion_embed.training.preparation import new_embedding
from tests.models.zoo import ZOO
from tests.pipelines.wan import unipc


SHAPE = (4, 4, 8)


@pytest.mark.parametrize("loss", ["base", "centered", "debiased_temporal", "motion_distillation"])
def test_a_step_reads_no_number(loss):
    # These tensors have shapes and types, but no numbers: to ask for one raises.
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = WanTransformer3DModel(**ZOO["WanTransformer3DModel"].settings).eval().requires_grad_(False)
        config = MotionEmbeddingConfig(
            parts=PARTS,
            value_grid=(2, 2),
            num_frames=SHAPE[0],
            num_latent_frames=SHAPE[0] // patch_size(model)[0],
            latent_height=SHAPE[1],
            latent_width=SHAPE[2],
        )
        config.target_modules = select_layers(model, config)
        embedding = Embedding(config, new_embedding(model, config, config.target_modules))
        latents, conditioning = torch.zeros(1, 4, *SHAPE), conditioning_of(Subject(model, SHAPE, 3))
        options = TrainingConfig(loss=loss, max_grad_norm=1.0)
        with in_training(model, "trained", embedding, "difference"):
            run = Optimization(model, noising_of(unipc()), latents, [conditioning], [], embedding.tensors, {}, options)
            for _ in range(2):
                run.step()
            with pytest.raises(DataDependentOutputException):
                run.probe()
