"""Several threads: what one pipeline does is nothing to another."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from diffusers_motion_embed import enable_motion_embedding, load_motion_embedding, set_motion_timing
from tests.conftest import make_animatediff, make_text_to_video
from tests.runtime.factories import assert_motion_acts, denoise, run


def at_once(*works):
    """Start all works at the same moment, each in its own thread; their results, or the first error."""
    start = threading.Barrier(len(works))

    def begin(work):
        start.wait(timeout=60)
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return [future.result(timeout=300) for future in [threads.submit(begin, work) for work in works]]


def several(pipe, times=4):
    return lambda: [run(pipe) for _ in range(times)]


def test_two_pipelines_at_once_give_what_each_gives_alone(motion):
    plain_pipes = [make_text_to_video(), make_animatediff()]
    plain = [run(pipe) for pipe in plain_pipes]
    for clips, alone in zip(at_once(*map(several, plain_pipes)), plain, strict=True):
        assert all(torch.equal(clip, alone) for clip in clips)

    pipes = [enable_motion_embedding(make_text_to_video()), enable_motion_embedding(make_animatediff())]
    for pipe in pipes:
        pipe.load_motion_embedding(motion(pipe.unet))
        pipe.set_motion_timing(0.0, 0.6)
    moved = [run(pipe) for pipe in pipes]
    for clips, alone, still in zip(at_once(*map(several, pipes)), moved, plain, strict=True):
        assert_motion_acts(alone, still)
        assert all(torch.equal(clip, alone) for clip in clips)


def test_loading_on_one_pipeline_while_another_generates(motion):
    pipe, other = make_animatediff(), make_animatediff()
    source, plain = motion(pipe.unet), run(pipe)
    finished = threading.Event()

    def change():
        loads = 0
        while not finished.is_set() or loads == 0:
            enable_motion_embedding(other).load_motion_embedding(source)
            other.unload_motion_embedding()
            loads += 1
        return loads

    def generate_meanwhile():
        try:
            return several(pipe, 8)()
        finally:
            finished.set()

    clips, loads = at_once(generate_meanwhile, change)
    assert loads > 1
    assert all(torch.equal(clip, plain) for clip in clips)

    enable_motion_embedding(pipe).load_motion_embedding(source)
    moved = run(pipe)
    assert_motion_acts(moved, plain)
    finished.clear()
    clips, loads = at_once(generate_meanwhile, change)
    assert loads > 1
    assert all(torch.equal(clip, moved) for clip in clips)
    assert torch.equal(run(other), plain)


def in_two_threads(model, first_clip, second_clip):
    """The second thread runs through while the first one stands between its layers, which events make certain."""
    inside, done = threading.Event(), threading.Event()
    first_thread = []

    def wait_inside(module, args):
        if threading.get_ident() in first_thread and not inside.is_set():
            inside.set()
            assert done.wait(timeout=60)

    def first():
        first_thread.append(threading.get_ident())
        return denoise(model, **first_clip)

    def second():
        assert inside.wait(timeout=60)
        try:
            return denoise(model, **second_clip)
        finally:
            done.set()

    attention = model.get_submodule("down_blocks.0.motion_modules.0.transformer_blocks.0.attn1")
    handle = attention.register_forward_pre_hook(wait_inside)
    try:
        return at_once(first, second)
    finally:
        handle.remove()


NOISY, CLEAN, LARGE = {"timestep": 900}, {"timestep": 100}, {"timestep": 900, "size": 16}


@pytest.mark.parametrize(
    ("clips", "timing"),
    [
        pytest.param((NOISY, CLEAN), (0.0, 1.0), id="same size"),
        pytest.param(
            (LARGE, CLEAN),
            (0.0, 1.0),
            id="two sizes",
            marks=pytest.mark.xfail(strict=True, reason="a layer knows the size of the clip that came last"),
        ),
        pytest.param(
            (NOISY, CLEAN),
            (0.0, 0.5),
            id="timed",
            marks=pytest.mark.xfail(strict=True, reason="a motion knows the timestep that came last"),
        ),
    ],
)
def test_one_model_in_two_threads(motion, clips, timing):
    model = make_animatediff().unet
    plain = [denoise(model, **clip) for clip in clips]
    assert all(map(torch.equal, in_two_threads(model, *clips), plain))
    load_motion_embedding(model, motion(model))
    set_motion_timing(model, *timing)
    moved = [denoise(model, **clip) for clip in clips]
    assert_motion_acts(moved[0], plain[0])
    assert all(map(torch.equal, in_two_threads(model, *clips), moved))
