"""What a clip shows, on rendered clips: whole ones, and with defects that a person sees."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLWan

from benchmarks.tiny_world.measures import KINDS, center_distance, lab_of, measure_clip, object_fidelity, text_fidelity
from benchmarks.tiny_world.pipelines import TINY_T2V, TINY_WAN
from benchmarks.tiny_world.scene import BACKGROUND_COLORS, OBJECT_COLORS, Appearance, Motion, Scene, Thing, render
from benchmarks.tiny_world.training_clips import random_scene


FRAMES = 4
BAD = 2  # the frame that has a defect
STILL = Motion.of_object(np.zeros((FRAMES, 2)))


def video(scene):
    return (scene.render() * 255).round().astype(np.uint8)


def wrong(seen):
    """What is wrong, by frame."""
    return {kind: np.flatnonzero(~getattr(seen, kind)).tolist() for kind in KINDS if not getattr(seen, kind).all()}


def test_rendered_clips_are_right():
    rng = np.random.default_rng(1)
    scenes = [random_scene(rng) for _ in range(12)]
    measures = [measure_clip(video(scene), scene.appearance) for scene in scenes]
    found = text_fidelity(measures)
    assert [found[kind] for kind in (*KINDS, "right", "every_frame")] == [1.0] * (len(KINDS) + 2)
    assert found["color_error"] < 1.0
    for scene, seen in zip(scenes, measures, strict=True):
        for each, center in zip(seen.objects, scene.motion.screen_centers, strict=True):
            assert center_distance(each.center, center) < 0.06  # an object may hide a corner of the other


@pytest.mark.parametrize("pattern", ["plain", "checkered", "dotted"])
@pytest.mark.parametrize("background", ["gray", "navy"])
def test_patterns_are_right_under_every_zoom_and_roll(pattern, background):
    frames = 20
    zoom, roll = np.geomspace(0.6, 1.7, frames), np.deg2rad(np.linspace(-45, 45, frames))
    shift = np.stack([np.linspace(-0.4, 0.4, frames)] * 2, 1)
    motion = Motion(shift, shift, zoom, np.random.default_rng(0).permutation(roll))
    look = Appearance("red", "ring", background, pattern)
    assert wrong(measure_clip(video(Scene(look, motion)), look)) == {}


@pytest.mark.parametrize("shape", ["bar", "pillar"])
@pytest.mark.parametrize("degrees", [-40, 40])
def test_bars_may_tilt(shape, degrees):
    look = Appearance("red", shape, "gray")
    motion = replace(STILL, camera_roll=np.full(FRAMES, np.deg2rad(degrees)))
    assert wrong(measure_clip(video(Scene(look, motion)), look)) == {}
    other = replace(look, shape={"bar": "pillar", "pillar": "bar"}[shape])
    assert wrong(measure_clip(video(Scene(look, motion)), other)) == {"shape": list(range(FRAMES))}


@pytest.mark.parametrize(("vae_class", "folder"), [(AutoencoderKL, TINY_T2V), (AutoencoderKLWan, TINY_WAN)])
def test_what_the_autoencoders_make_of_rendered_clips_is_right(vae_class, folder):
    vae = vae_class.from_pretrained(folder, subfolder="vae", torch_dtype=torch.float32)
    rng = np.random.default_rng(4)
    for scene in (random_scene(rng, 5) for _ in range(5)):
        pixels = torch.from_numpy(scene.render()).permute(0, 3, 1, 2) * 2 - 1
        with torch.no_grad():
            pixels = pixels if folder == TINY_T2V else pixels.transpose(0, 1)[None]
            decoded = vae.decode(vae.encode(pixels).latent_dist.mode()).sample
        decoded = decoded if folder == TINY_T2V else decoded[0].transpose(0, 1)
        frames = (decoded.permute(0, 2, 3, 1).numpy() / 2 + 0.5).clip(0, 1)
        assert wrong(measure_clip(frames, scene.appearance)) == {}


def tone(look, number=0):
    return np.array(BACKGROUND_COLORS[look.background][number], np.uint8)


def gap(frame, look):
    frame[12:34, 29:35] = tone(look)  # out of the upper side


def blob(frame, look):
    frame[:] = tone(look)
    for x, y, radius in ((26, 28, 8), (36, 34, 9), (30, 41, 6)):
        cv2.circle(frame, (x, y), radius, OBJECT_COLORS[look.color], -1)


def smear(frame, look):
    frame[:] = np.mean([np.roll(frame, shift, 1) for shift in range(-10, 11, 4)], 0)


def second_blob(frame, look):
    cv2.circle(frame, (8, 56), 4, OBJECT_COLORS[look.color], -1)


def missing(frame, look):
    frame[:] = tone(look)


def other_color(frame, look):
    frame[:] = frame[..., [2, 0, 1]]


def other_background(frame, look):
    frame[:] = video(Scene(replace(look, background="brown"), STILL))[0]


def blotches(frame, look):
    random = np.random.default_rng(0).integers(0, 2, (16, 16)).repeat(4, 0).repeat(4, 1)
    object_ = (frame.max(-1).astype(int) - frame.min(-1)) > 40
    frame[~object_] = np.where(random[..., None] == 1, tone(look), tone(look, 1))[~object_]


def wavy(frame, look):
    rows = np.arange(64, dtype=np.float32)
    x, y = np.meshgrid(rows, rows)
    bent = cv2.remap(frame, x + 3.5 * np.sin(y / 4), y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    frame[:, :14], frame[:, -14:] = bent[:, :14], bent[:, -14:]


def missing_dot(frame, look):
    frame[40:57, 40:57] = tone(look)


DEFECTS = [
    (gap, "ring", "plain", {"shape"}),
    (blob, "circle", "plain", {"shape"}),
    (blob, "bar", "plain", {"shape"}),
    (smear, "ring", "plain", {"shape", "pattern"}),
    (smear, "pillar", "plain", {"shape"}),
    (second_blob, "circle", "plain", {"shape"}),
    (missing, "ring", "plain", {"present", "color", "shape"}),
    (other_color, "ring", "plain", {"color"}),
    (other_background, "circle", "checkered", {"background"}),
    (blotches, "circle", "checkered", {"pattern"}),
    (blotches, "circle", "dotted", {"pattern"}),
    (wavy, "circle", "checkered", {"pattern"}),
    (wavy, "circle", "dotted", {"pattern"}),
    (missing_dot, "circle", "dotted", {"pattern"}),
    (missing_dot, "circle", "checkered", {"pattern"}),
]


@pytest.mark.parametrize(("defect", "shape", "pattern", "kinds"), DEFECTS)
def test_one_bad_frame_is_seen(defect, shape, pattern, kinds):
    look = Appearance("red", shape, "gray", pattern)
    frames = video(Scene(look, STILL))
    defect(frames[BAD], look)
    seen = measure_clip(frames, look)
    assert wrong(seen) == {kind: [BAD] for kind in kinds}
    found = text_fidelity([seen, measure_clip(video(Scene(look, STILL)), look)])
    assert found["right"] == 1 - 1 / (2 * FRAMES)
    assert found["every_frame"] == 0.5


@pytest.mark.parametrize("pattern", ["plain", "checkered", "dotted"])
def test_another_pattern_is_wrong(pattern):
    look = Appearance("red", "circle", "gray", pattern)
    for other in {"plain", "checkered", "dotted"} - {pattern}:
        assert not measure_clip(video(Scene(look, STILL)), replace(look, pattern=other)).pattern.any()


def test_of_two_objects_each_is_judged():
    look = Appearance("red", "circle", "gray", second=Thing("blue", "bar"))
    motion = Motion.of_object(np.full((FRAMES, 2), -0.4), np.full((FRAMES, 2), 0.4))
    frames = video(Scene(look, motion))
    assert wrong(measure_clip(frames, look)) == {}
    swapped = replace(look, color="blue", second=Thing("red", "bar"))
    assert wrong(measure_clip(frames, swapped)) == {"shape": list(range(FRAMES))}
    alone = measure_clip(video(Scene(replace(look, second=None), STILL)), look)
    assert wrong(alone) == {kind: list(range(FRAMES)) for kind in ("present", "color", "shape")}
    both = measure_clip(frames, replace(look, second=None))
    assert "shape" in wrong(both)  # one is asked for, and something else is there


@pytest.mark.parametrize("pattern", ["plain", "dotted"])
def test_flicker_is_what_no_camera_explains(pattern):
    look = Appearance("red", "circle", "gray", pattern)
    pan = Motion(STILL.center, np.linspace([0, 0], [0.4, 0.2], FRAMES), np.linspace(1, 1.3, FRAMES))
    assert measure_clip(video(Scene(look, pan)), look).flicker < 1.0
    frames = video(Scene(look, STILL))
    frames[1::2] = frames[1::2] * 0.93
    assert measure_clip(frames, look).flicker > 2.5


def test_the_background_s_colour_is_its_mean():
    # Half of a checkered background has the second tone; the frame shows whole cells.
    plain, checkered = (
        measure_clip(render(look, STILL), look)
        for look in (Appearance("red", "circle", "gray", pattern) for pattern in ("plain", "checkered"))
    )
    assert plain.background_lab == pytest.approx(lab_of((128, 128, 128)), abs=0.1)
    assert checkered.background_lab == pytest.approx((lab_of((128, 128, 128)) + lab_of((84, 84, 84))) / 2, abs=1)


def test_an_empty_clip_has_no_object():
    look = Appearance("red", "circle", "gray", "dotted")
    seen = measure_clip(render(look, Motion.of_object(np.full((3, 2), 5.0))), look)
    assert wrong(seen).keys() == {"present", "color", "shape"}
    assert np.isnan(seen.background_lab).all()
    assert np.isnan(seen.color_error)
    assert object_fidelity(seen, Motion.of_object(np.array([[0.0, 0], [0.1, 0], [0.2, 0]]))) == (0.0, 2.0)


def test_a_frame_that_the_object_fills_is_wrong():
    seen = measure_clip(np.zeros((2, 64, 64, 3)) + np.array([0.9, 0.1, 0.1]), Appearance("red", "circle", "gray"))
    assert seen.present.all()
    assert not seen.right.any()


def test_colour_error_is_a_distance_in_cielab():
    seen = measure_clip(render(Appearance("red", "circle", "gray"), STILL), Appearance("yellow", "circle", "gray"))
    # CIELAB of the two colours by hand: yellow (85, -6, 79), red (49, 66, 45)
    assert seen.color_error == pytest.approx(np.linalg.norm([36, -72, 34]), abs=2)
    assert not seen.color.any()
