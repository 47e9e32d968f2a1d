"""torch.compile: every motion call after compiling takes effect, most without compiling anew, and no graph breaks.

The backend runs the graphs as they are, because what is tested is tracing. A compiled pipeline and one that is not
compiled get the same calls and must give the same clips.
"""

import logging

import pytest
import torch
from diffusers import DiffusionPipeline, UNetMotionModel

from diffusers_motion_embed import enable_motion_embedding
from diffusers_motion_embed.architectures import find_architecture
from tests.conftest import make_animatediff
from tests.runtime.factories import CLEAR, assert_motion_acts, make_lora, run


# One motion shall not act, of which the package warns.
pytestmark = pytest.mark.filterwarnings("ignore:The motion embedding .* acts at noise levels:UserWarning")

# The same operations, but for constants that tracing folds.
TOLERANCE = {"atol": CLEAR / 1000, "rtol": 0}


def no_compiling():
    """While it lasts, compiling anew is an error."""
    return torch.compiler.set_stance("fail_on_recompile")


@pytest.fixture(autouse=True)
def _forget_graphs(caplog):
    caplog.set_level(logging.CRITICAL, "torch.__trace")  # megabytes, which pytest would collect
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def make_small(use_motion_mid_block=False):
    """AnimateDiff with one block, because tracing takes seconds."""
    pipe = make_animatediff()
    unet = UNetMotionModel(
        sample_size=8,
        down_block_types=("DownBlockMotion",),
        up_block_types=("UpBlockMotion",),
        block_out_channels=(8,),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=16,
        num_attention_heads=2,
        motion_num_attention_heads=2,
        use_motion_mid_block=use_motion_mid_block,
    )
    for name, parameter in unet.named_parameters():
        if "motion_modules" in name:  # their last projections start at zero
            torch.nn.init.normal_(parameter, std=0.2)
    pipe.register_modules(unet=unet.eval().requires_grad_(False))
    return pipe


def compile_method(pipe, **options):
    pipe.unet.compile(backend="eager", fullgraph=True, **options)


def compile_model(pipe):
    pipe.unet = torch.compile(pipe.unet, backend="eager", fullgraph=True)


def compile_forward(pipe):
    pipe.unet.forward = torch.compile(pipe.unet.forward, backend="eager", fullgraph=True)


WAYS = {
    "torch.compile(unet)": (make_small, compile_model),
    "torch.compile(unet.forward)": (make_small, compile_forward),
}


@pytest.mark.parametrize(("make_pipe", "compile_it"), WAYS.values(), ids=WAYS)
def test_loading_and_unloading_after_compiling_take_effect(make_pipe, compile_it, motion):
    eager, pipe = enable_motion_embedding(make_pipe()), make_pipe()
    source = motion(eager.unet)
    plain = run(eager)
    compile_it(pipe)
    torch.testing.assert_close(run(pipe), plain, **TOLERANCE)  # plain diffusers
    with no_compiling():
        run(pipe)

    for each in (eager, enable_motion_embedding(pipe)):
        each.load_motion_embedding(source)
    with no_compiling(), pytest.raises(RuntimeError, match="recompile"):
        run(pipe)  # a new computation, which is noticed
    moved = run(pipe)
    torch.testing.assert_close(moved, run(eager), **TOLERANCE)
    assert_motion_acts(moved, plain)
    with no_compiling():
        run(pipe)
    pipe.unload_motion_embedding()
    torch.testing.assert_close(run(pipe), plain, **TOLERANCE)


def test_new_numbers_do_not_compile_anew(motion):
    eager, pipe = enable_motion_embedding(make_small()), enable_motion_embedding(make_small())
    first, second, third = (motion(eager.unet, seed=seed) for seed in (1, 2, 3))
    plain = run(eager)
    compile_method(pipe)
    torch.testing.assert_close(run(pipe), plain, **TOLERANCE)

    def do(call, acts=True):
        for each in (eager, pipe):
            call(each)
        clip = run(pipe)
        torch.testing.assert_close(clip, run(eager), **TOLERANCE)
        if acts:
            assert_motion_acts(clip, plain)
        else:
            torch.testing.assert_close(clip, plain, **TOLERANCE)

    def load_both(each):
        each.load_motion_embedding(first, "first")
        each.load_motion_embedding(second, "second")

    do(load_both)
    with no_compiling():
        do(lambda each: each.set_motion_scale(0.5))
        do(lambda each: each.set_motion_scale({"qk": 2.0, "v": 0.5}))
        do(lambda each: each.set_motion_scale({"down": 0.5}))
        do(lambda each: each.set_motion_embeddings(["first", "second"], [0.5, -1.0]))
        do(lambda each: each.set_motion_embeddings("first"))
        do(lambda each: each.load_motion_embedding(third, "first", hotswap=True))
        do(lambda each: each.set_motion_debias("centered"))
        do(lambda each: each.disable_motion_embedding_layers(), acts=False)
        do(lambda each: each.enable_motion_embedding_layers())
        # The two steps are at 0.5 and at 1 of the schedule.
        do(lambda each: each.set_motion_timing(0.5, 0.9))
        do(lambda each: each.set_motion_timing(0.1, 0.4), acts=False)
        do(lambda each: each.set_motion_timing(0.3, 0.6))
        do(lambda each: each.set_motion_timing())
    do(lambda each: each.delete_motion_embedding(["first", "second"]), acts=False)


@pytest.mark.slow
def test_loras_after_compiling_take_effect_beside_a_motion(motion):
    lora = {key: tensor for key, tensor in make_lora(make_small().unet).items() if ".to_v." in key}
    calls = {
        "load": lambda each: each.load_lora_weights(dict(lora), adapter_name="style"),
        "disable": lambda each: each.disable_lora(),
        "enable": lambda each: each.enable_lora(),
        "unload": lambda each: each.unload_lora_weights(),
    }
    eager = make_small()
    plain = {None: run(eager)}
    for name, call in calls.items():
        call(eager)
        plain[name] = run(eager)
    assert (plain["load"] - plain[None]).abs().max() > CLEAR  # the LoRA does something

    eager, pipe = enable_motion_embedding(make_small()), enable_motion_embedding(make_small())
    source = motion(eager.unet)
    for each in (eager, pipe):
        each.load_motion_embedding(source)
    moved = run(eager)
    compile_method(pipe)
    torch.testing.assert_close(run(pipe), moved, **TOLERANCE)
    for name, call in calls.items():
        for each in (eager, pipe):
            call(each)
        clip = run(pipe)
        torch.testing.assert_close(clip, run(eager), **TOLERANCE)
        assert_motion_acts(clip, plain[name])
    torch.testing.assert_close(run(pipe), moved, **TOLERANCE)


@pytest.mark.slow
def test_other_sizes_and_lengths_do_not_compile_anew(motion):
    # Neither is that of the embedding, which is therefore resampled in both.
    sizes = [{"size": 24, "num_frames": 5}, {"size": 40, "num_frames": 7}]
    plain_pipe, pipe = make_small(), enable_motion_embedding(make_small())
    plain = [run(plain_pipe, **size) for size in sizes]
    pipe.load_motion_embedding(motion(pipe.unet))
    moved = [run(pipe, **size) for size in sizes]
    for clip, still in zip(moved, plain, strict=True):
        assert_motion_acts(clip, still)

    for each, clips in ((plain_pipe, plain), (pipe, moved)):  # plain diffusers first
        compile_method(each, dynamic=True)
        torch.testing.assert_close(run(each, **sizes[0]), clips[0], **TOLERANCE)
        with no_compiling():
            torch.testing.assert_close(run(each, **sizes[1]), clips[1], **TOLERANCE)


def compile_blocks(model):
    """By repeated blocks where diffusers knows them, and otherwise the first of the blocks that mix frames."""
    if model._repeated_blocks:
        model.compile_repeated_blocks()
    else:  # one alone, because every one takes ten seconds
        path = find_architecture(model).attention_paths(model)[0]
        model.get_submodule(path.rpartition(".")[0]).compile()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny-t2v", "tiny-animatediff", "tiny-wan"])
def test_the_default_backend_notices_a_motion_on_the_embedded_models(name, embedding_dict, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    pipe = enable_motion_embedding(DiffusionPipeline.from_pretrained(f"examples/{name}", dtype=torch.float32))
    pipe.set_progress_bar_config(disable=True)
    model = pipe.transformer if name == "tiny-wan" else pipe.unet
    size = {"num_frames": 5 if name == "tiny-wan" else 4, "height": 32, "width": 32}

    def clip():
        settings = {"num_inference_steps": 1, "guidance_scale": 1.0, "output_type": "latent"}
        return pipe("a red bar", **size, **settings, generator=torch.Generator().manual_seed(0)).frames

    source, plain = embedding_dict(model, value_grid=(1, 1)), clip()
    pipe.load_motion_embedding(source)
    moved = clip()
    pipe.unload_motion_embedding()
    compile_blocks(model)
    torch.testing.assert_close(clip(), plain, atol=1e-4, rtol=1e-4)
    pipe.load_motion_embedding(source)
    torch.testing.assert_close(clip(), moved, atol=1e-4, rtol=1e-4)
    assert (moved - plain).abs().max() > 1e-2


@pytest.mark.slow
def test_blocks_that_free_noise_rebuilds_keep_the_motion_when_compiled(motion):
    eager, pipe = (enable_motion_embedding(make_small(use_motion_mid_block=True)) for _ in range(2))
    source = motion(eager.unet)
    pipe.unet.compile(backend="eager")
    plain = run(pipe, num_frames=6)
    windows = {"context_length": 4, "context_stride": 2}
    for call in (
        lambda each: each.load_motion_embedding(source),
        lambda each: each.enable_free_noise(**windows),
        lambda each: each.disable_free_noise(),
    ):
        for each in (eager, pipe):
            call(each)
        clip = run(pipe, num_frames=6)
        torch.testing.assert_close(clip, run(eager, num_frames=6), **TOLERANCE)
        assert_motion_acts(clip, plain)
