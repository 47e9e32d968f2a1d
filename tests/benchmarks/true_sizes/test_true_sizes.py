"""Bases of true size: their settings are those that people download, and the program measures every stage of one."""

from dataclasses import replace

import pytest
import torch

from benchmarks.true_sizes import __main__ as program
from benchmarks.true_sizes.bases import BASES
from tests.pipelines.conftest import FAMILIES


# Millions of numbers of the component that is trained, as the publishers' files have them.
MILLIONS = {
    "ZeroScope": 1411,
    "AnimateDiff on Stable Diffusion 1.5": 1313,
    "Wan 2.1 1.3B": 1419,
    "CogVideoX 2B": 1694,
    "LTX-Video 2B": 1923,
}


@pytest.mark.parametrize("name", BASES)
def test_a_base_has_its_size(name):
    component, _ = BASES[name].denoiser
    model = getattr(BASES[name].pipe(torch.bfloat16, "meta"), component)
    assert sum(each.numel() for each in model.parameters()) / 1e6 == pytest.approx(MILLIONS[name], rel=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_stage_is_measured_and_estimated(dtype, monkeypatch, capsys):
    pipe = FAMILIES["LTX"].make()
    small = replace(
        BASES["LTX-Video 2B"],
        denoiser=("transformer", lambda: type(pipe.transformer).from_config(pipe.transformer.config)),
        vae=lambda: type(pipe.vae).from_config(pipe.vae.config),
        small=(9, 64, 64),
        usual=(17, 64, 64),
    )
    monkeypatch.setitem(BASES, "small", small)
    program.main(["small", "--dtype", dtype])
    _, _, *lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    stages = {row[2]: row[3:] for row in cells if row[3]}
    assert list(stages) == ["VAE encoding", "training", "training, recomputing", "generation"]
    for allocated, share, seconds in stages.values():
        assert float(allocated.removesuffix(" MB")) > 0
        assert float(seconds) >= 0
        assert not share or 0.5 < float(share) < 2
    assert "the embedding's file, of 9 frames of 64 x 64: " in cells[-2][2]
    assert "17 frames of 64 x 64 would need: training" in cells[-1][2]


def test_a_base_that_there_is_not_is_refused(capsys):
    with pytest.raises(SystemExit):
        program.main(["ModelScope"])
    assert "no such base: ModelScope; there are ZeroScope" in capsys.readouterr().err
