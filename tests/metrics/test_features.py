"""Features of frames, and what is computed of them, against independent calculations."""

import colorsys

import numpy as np
import pytest
import torch
from PIL import Image

from diffusers_motion_embed import VideoError
from diffusers_motion_embed.metrics import ClipFeatures, ColorHistogram, temporal_consistency, text_similarity
from diffusers_motion_embed.metrics.features import lab_of
from tests.metrics.clip_model import make_clip_model
from tests.metrics.videos import noise, pan, standing


PROMPT = "a red circle on a dotted navy background"


def full(color, size=(6, 5)):
    return np.tile(np.uint8(color), (2, *size, 1))


@pytest.fixture
def clip_model():
    return make_clip_model()


def image_vector(model, frame):
    """Of one frame of 48 x 32 pixels: the middle 32 x 32, standardised as CLIP's, projected, of length one."""
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    pixels = torch.tensor((frame[8:40] / 255 - mean) / std).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        projected = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)[0]
    return (projected / projected.norm()).double().numpy()


def text_vector(model, processor):
    tokens = processor.tokenizer(PROMPT, return_tensors="pt").input_ids
    with torch.no_grad():
        projected = model.text_projection(model.text_model(input_ids=tokens).last_hidden_state[:, -1])[0]
    return (projected / projected.norm()).double().numpy()


def test_clip_scores_are_cosines_frame_by_frame(clip_model):
    model, processor = clip_model
    clip = noise((5, 48, 32, 3))
    vectors = [image_vector(model, frame) for frame in clip]
    text = text_vector(model, processor)
    features = ClipFeatures(model, processor, batch_size=2)
    assert features(clip) == pytest.approx(np.stack(vectors), abs=1e-5)
    neighbours = [vectors[t] @ vectors[t + 1] for t in range(4)]
    assert temporal_consistency(clip, features) == pytest.approx(np.mean(neighbours), abs=1e-5)
    assert np.ptp(neighbours) > 1e-3
    fits = [vector @ text for vector in vectors]
    assert text_similarity(clip, PROMPT, features) == pytest.approx(np.mean(fits), abs=1e-5)
    assert abs(np.mean(fits)) > 1e-3


def test_clip_model_of_a_folder(clip_model, tmp_path):
    model, processor = clip_model
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    clip = noise((3, 48, 32, 3))
    loaded, given = ClipFeatures.from_pretrained(str(tmp_path)), ClipFeatures(model, processor)
    assert text_similarity(clip, PROMPT, loaded) == pytest.approx(text_similarity(clip, PROMPT, given), abs=1e-6)


def test_prompts_may_be_too_long(clip_model):
    features = ClipFeatures(*clip_model)
    assert np.isfinite(features.of_text(" ".join([PROMPT] * 10))).all()


def test_half_precision(clip_model):
    model, processor = clip_model
    clip = noise((3, 48, 32, 3))
    before = ClipFeatures(model, processor)(clip)
    after = ClipFeatures(model.to(torch.bfloat16), processor)(clip)
    assert np.linalg.norm(after, axis=-1) == pytest.approx(1.0)
    assert np.sum(before * after, axis=-1).min() > 0.99


@pytest.mark.parametrize("make_features", [ColorHistogram, "clip"], ids=["colours", "clip"])
def test_consistency_of_known_videos(make_features, clip_model):
    features = ClipFeatures(*clip_model) if make_features == "clip" else make_features()
    clip = pan(4, 0, size=(48, 32))
    assert temporal_consistency(standing(clip), features) == pytest.approx(1.0)
    assert temporal_consistency(clip, features) == pytest.approx(temporal_consistency(clip[::-1], features))
    shuffled = clip[[7, 2, 10, 5, 0, 8, 3, 11, 6, 1, 9, 4]]
    assert temporal_consistency(shuffled, features) < temporal_consistency(clip, features) < 1.0


def test_no_video_no_score():
    with pytest.raises(VideoError):
        temporal_consistency(noise((1, 8, 8, 3)), ColorHistogram())


def test_colours_alone_make_a_histogram():
    features = ColorHistogram()
    clip = noise((2, 32, 32, 3))
    vectors = features(clip)
    assert vectors.shape == (2, 512)
    assert np.linalg.norm(vectors, axis=-1) == pytest.approx(1.0)
    assert features(clip[:, ::-1, ::-1]) == pytest.approx(vectors)
    assert features(full((255, 0, 0)))[0] @ features(full((0, 0, 255)))[0] == pytest.approx(0.0)


def test_half_of_the_colours_in_common():
    # Half red and half blue, against red: the coefficient of shares (1/2, 1/2) and (1, 0) is the root of 1/2.
    red, blue = full((255, 0, 0)), full((0, 0, 255))
    both = np.concatenate([red, blue], axis=1)
    features = ColorHistogram()
    assert features(both)[0] @ features(red)[0] == pytest.approx(0.5**0.5)


def test_similar_colours_are_similar():
    features = ColorHistogram()
    similarities = [
        features(full((120, 120, 120)))[0] @ features(full((gray, gray, gray)))[0] for gray in (120, 124, 132, 160)
    ]
    assert similarities == sorted(similarities, reverse=True)
    assert similarities[1] > 0.95
    assert similarities[3] < 0.5


def test_large_frames_are_thinned_out_evenly():
    clip = pan(2, 1, size=(64, 64))[:2]
    large = clip.repeat(4, axis=1).repeat(4, axis=2)
    assert ColorHistogram(max_side=64)(large) == pytest.approx(ColorHistogram()(clip))


def test_every_colour_is_within_the_bins():
    hues = [colorsys.hsv_to_rgb(hue, saturation, 1) for hue in np.linspace(0, 1, 24) for saturation in (0.5, 1)]
    colors = np.array([*hues, (0, 0, 0), (1, 1, 1)])
    labs = lab_of((colors * 255).astype(np.uint8)[None])[0]
    assert np.abs(labs[:, 1:]).max() < 110
    assert labs[-1] == pytest.approx([100, 0, 0], abs=0.1)


def test_lab_is_cielab():
    # Red and blue by the definition, D65.
    labs = lab_of(np.uint8([[(255, 0, 0), (0, 0, 255)]]))[0]
    assert labs[0] == pytest.approx([53.2, 80.1, 67.2], abs=0.3)
    assert labs[1] == pytest.approx([32.3, 79.2, -107.9], abs=0.3)


def test_pictures_go_through_clip_as_their_own_processor_takes_them(clip_model):
    model, processor = clip_model
    clip = noise((2, 100, 70, 3))
    inputs = processor(images=[Image.fromarray(frame) for frame in clip], return_tensors="pt")
    with torch.no_grad():
        expected = model.visual_projection(model.vision_model(**inputs).pooler_output)
    expected = torch.nn.functional.normalize(expected, dim=-1).numpy()
    assert ClipFeatures(model, processor)(clip) == pytest.approx(expected, abs=1e-5)
