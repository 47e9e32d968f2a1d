"""What type checkers and editors know of an enabled pipeline. mypy checks this file; nothing runs it."""

from pathlib import Path
from typing import assert_type

from diffusers.pipelines.animatediff.pipeline_animatediff import AnimateDiffPipeline

from diffusers_motion_embed import LoadReport, MotionEmbeddingLoaderMixin, enable_motion_embedding


def takes_both(own: AnimateDiffPipeline, motion: MotionEmbeddingLoaderMixin) -> None: ...


def enabling_keeps_the_class(pipe: AnimateDiffPipeline) -> None:
    assert_type(enable_motion_embedding(pipe), AnimateDiffPipeline)


def afterwards_the_methods_of_both_are_known(pipe: AnimateDiffPipeline) -> None:
    enable_motion_embedding(pipe)
    assert isinstance(pipe, MotionEmbeddingLoaderMixin)
    takes_both(pipe, pipe)
    assert_type(pipe.load_motion_embedding("folder", "name"), LoadReport)
    assert_type(pipe.save_motion_embedding("folder"), Path)
    assert_type(pipe.get_active_motion_embeddings(), list[str])
