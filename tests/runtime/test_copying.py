"""Copies of models and pipelines, in this process and in another: they are moved too, and independent."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffusers_motion_embed import enable_motion_embedding
from tests.runtime.factories import BOTH, assert_motion_acts, make_lora, run


def make_frozen(make_pipe):
    # Loading a LoRA freezes the model, for which torch takes other kernels, with other rounding, from then on.
    pipe = make_pipe()
    pipe.unet.requires_grad_(False)
    return pipe


def copy_by_pickle(thing):
    return pickle.loads(pickle.dumps(thing))


COPIES = {"deepcopy": copy.deepcopy, "pickle": copy_by_pickle}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("make_pipe", BOTH.values(), ids=BOTH)
def test_a_copied_pipeline_is_moved_with_its_own_loras_and_motions(make_pipe, motion, copied):
    plain_pipe = make_frozen(make_pipe)
    plain = run(plain_pipe)
    assert torch.equal(run(copied(plain_pipe)), plain)

    pipe = enable_motion_embedding(make_frozen(make_pipe))
    pipe.load_motion_embedding(motion(pipe.unet), "motion")
    moved = run(pipe)
    assert_motion_acts(moved, plain)
    twin = copied(pipe)
    assert twin.unet is not pipe.unet
    assert torch.equal(run(twin), moved)

    lora = make_lora(pipe.unet)
    twin.load_lora_weights(dict(lora), adapter_name="style")
    both = run(twin)
    assert torch.equal(run(pipe), moved)  # the original knows nothing of the copy's LoRA
    pipe.load_lora_weights(dict(lora), adapter_name="style")
    assert torch.equal(run(pipe), both)
    assert (both - moved).abs().max() > 0
    twin.disable_motion_embedding_layers()
    assert_motion_acts(both, run(twin))
    assert torch.equal(run(pipe), both)
    twin.unload_lora_weights()
    twin.unload_motion_embedding()
    assert torch.equal(run(twin), plain)


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("make_pipe", BOTH.values(), ids=BOTH)
def test_a_copied_model_is_moved_in_another_pipeline(make_pipe, motion, copied):
    pipe = enable_motion_embedding(make_pipe())
    plain = run(pipe)
    pipe.load_motion_embedding(motion(pipe.unet), "motion")
    pipe.set_motion_timing(0.0, 0.6)
    moved = run(pipe)
    other = enable_motion_embedding(make_pipe())
    other.register_modules(unet=copied(pipe.unet))
    assert other.get_active_motion_embeddings() == ["motion"]
    pipe.unload_motion_embedding()
    assert torch.equal(run(other), moved)
    assert torch.equal(run(pipe), plain)
    assert_motion_acts(moved, plain)


# Reads pickled pipelines in a process that has not heard of the package before, and runs them without and with a LoRA.
SCRIPT = """
import pickle, sys
from pathlib import Path

import torch

folder = Path(sys.argv[1])
for path in sorted(folder.glob("*.pickle")):
    pipe = pickle.loads(path.read_bytes())
    from tests.runtime.factories import make_lora, run

    clips = {"copy": run(pipe)}
    try:
        pipe.load_lora_weights(make_lora(pipe.unet), adapter_name="style")
        clips["with LoRA"] = run(pipe)
    except Exception as error:
        clips["error"] = repr(error)
    torch.save(clips, path.with_suffix(".pt"))
"""


@pytest.fixture(scope="module")
def in_another_process(tmp_path_factory):
    """A function from pickles by name to what another process made of each."""
    folder = tmp_path_factory.mktemp("pickles")

    def work(things):
        for name, thing in things.items():
            (folder / f"{name}.pickle").write_bytes(pickle.dumps(thing))
        root = Path(__file__).parents[2]
        subprocess.run([sys.executable, "-c", SCRIPT, str(folder)], check=True, cwd=root, timeout=300)
        return {name: torch.load(folder / f"{name}.pt") for name in things}

    return work


def test_a_pickled_pipeline_works_in_a_fresh_process(in_another_process, motion):
    pipes, plain = {}, {}
    for name, make_pipe in BOTH.items():
        plain_pipe, pipe = make_frozen(make_pipe), enable_motion_embedding(make_frozen(make_pipe))
        plain[name] = run(plain_pipe)
        pipe.load_motion_embedding(motion(pipe.unet))
        pipes[name], pipes[f"plain {name}"] = pipe, plain_pipe
    results = in_another_process(pipes)
    for name in BOTH:
        assert torch.equal(results[f"plain {name}"]["copy"], plain[name])  # of diffusers
        pipe = pipes[name]
        moved = run(pipe)
        assert_motion_acts(moved, plain[name])
        assert torch.equal(results[name]["copy"], moved)
        pipe.load_lora_weights(make_lora(pipe.unet), adapter_name="style")
        assert "error" not in results[name], results[name]["error"]
        assert torch.equal(results[name]["with LoRA"], run(pipe))
        assert not torch.equal(results[name]["with LoRA"], moved)
