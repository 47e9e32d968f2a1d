"""References from a generator: what there is in each half, and that nothing chooses by the half for reporting."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.tiny_world.measures import KINDS, camera_extent, lab_of, measure_clip, path_of
from benchmarks.tiny_world.motions import CAMERA_FAMILIES, OBJECT_FAMILIES, PAIR_FAMILIES
from benchmarks.tiny_world.references import CAMERA_REFERENCES, CHOOSING, OBJECT_REFERENCES, as_video
from benchmarks.tiny_world.reporting import REPORTING
from benchmarks.tiny_world.scene import BACKGROUND_COLORS, MAX_EXTENT, NUM_FRAMES, OBJECT_COLORS
from tests.test_imports import ROOT, imported_modules


BOTH = {"choose": CHOOSING, "report": REPORTING}
NAMED = OBJECT_REFERENCES | CAMERA_REFERENCES
halves = pytest.mark.parametrize("half", BOTH)


def test_each_family_is_in_one_half():
    choosing, reporting = (set(half.scenes(NUM_FRAMES)) for half in BOTH.values())
    families = {family.__name__ for family in (*OBJECT_FAMILIES, *PAIR_FAMILIES, *CAMERA_FAMILIES)}
    assert len(OBJECT_FAMILIES) >= 12
    assert len(CAMERA_FAMILIES) >= 8
    assert not choosing & reporting
    assert choosing | reporting == families | set(NAMED)
    assert NAMED.keys() <= choosing
    for half in BOTH.values():
        cameras = half.camera_scenes(NUM_FRAMES).keys() - NAMED
        assert len(cameras) == 4
        assert len(half.object_scenes(NUM_FRAMES).keys() - NAMED) == 7


@halves
def test_references_show_all_that_they_should(half):
    scenes = BOTH[half].scenes(NUM_FRAMES)
    assert sum(len(scene.appearance.things) == 2 for scene in scenes.values()) == 1
    moving = [scene for name, scene in scenes.items() if BOTH[half].is_camera(name) and name not in NAMED]
    still = [np.ptp(scene.motion.screen_center, 0).max() < 1e-6 for scene in moving]
    assert 0 < sum(still) < len(still)  # with and without a moving object
    assert all(camera_extent(path_of(scene.motion)).moves for scene in moving)
    lightness = [
        lab_of(OBJECT_COLORS[scene.appearance.color])[0] - lab_of(BACKGROUND_COLORS[scene.appearance.background][0])[0]
        for scene in scenes.values()
    ]
    assert min(lightness) < -30
    assert max(lightness) > 30
    assert min(np.abs(lightness)) < 15


@halves
def test_references_are_whole_in_every_frame(half):
    for name, scene in BOTH[half].scenes(NUM_FRAMES).items():
        seen = measure_clip(as_video(scene), scene.appearance)
        wrong = {kind for kind in KINDS if not getattr(seen, kind).all()}
        assert not wrong, name
        assert np.abs(np.diff(seen.center, axis=0)).max() < 0.5
        extent = MAX_EXTENT * scene.radius * scene.motion.camera_zoom[:, None]
        if name not in NAMED:
            assert all((np.abs(center) + extent <= 1).all() for center in scene.motion.screen_centers), name


@halves
def test_prompts_share_no_look_with_their_reference(half):
    references = BOTH[half]
    for name, scene in references.scenes(NUM_FRAMES).items():
        looks = references.looks_for(name)
        assert len(looks) == len(set(looks)) == 6
        assert looks == references.looks_for(name)
        for look in looks if name not in NAMED else ():
            assert look.background != scene.appearance.background
            assert len(look.things) == len(scene.appearance.things)
            for kind in ("color", "shape"):
                shown, asked = ({getattr(each, kind) for each in some.things} for some in (scene.appearance, look))
                assert not shown & asked
                assert kind == "shape" or len(asked) == len(look.things)
            assert look.pattern != "plain" or not references.is_camera(name)


@halves
def test_another_number_of_frames_is_the_same_motion(half):
    short, long = (BOTH[half].scenes(num_frames) for num_frames in (9, 17))
    for name, scene in short.items():
        assert scene.appearance == long[name].appearance
        if name != "shake" and name not in NAMED:
            np.testing.assert_allclose(scene.motion.screen_center, long[name].motion.screen_center[::2], atol=1e-9)


def test_nothing_but_the_mode_for_reporting_imports_the_half_for_reporting():
    importers, makers = set(), set()
    for folder in ("benchmarks", "examples", "diffusers_motion_embed"):
        for path in (ROOT / folder).rglob("*.py"):
            modules = set(imported_modules(path.read_text(encoding="utf-8")))
            name = str(path.relative_to(ROOT))
            importers |= {name for module in modules if module.startswith("benchmarks.tiny_world.reporting")}
            makers |= {name for module in modules if module.endswith("reference_sets.generated")}
    assert importers == {str(Path("benchmarks/fidelity/halves.py"))}
    assert makers == {str(Path("benchmarks/tiny_world", name)) for name in ("references.py", "reporting.py")}
