"""Colours of files of every range, gamut, depth and transparency: within 4 of the FFmpeg program or of constants."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from diffusers_motion_embed import VideoError, read_reference, read_video
from diffusers_motion_embed.video import colour
from tests.versions import skip_before, skip_unwritten
from tests.video.made import CORNERS, assert_corners, corners, difference, encode, ffmpeg, rendered, still


# Ordinary range


def tagged(space, primaries, transfer, pixels, codec="libx264", pixel_range="tv"):
    filters = f"scale=out_color_matrix={space}:out_range={pixel_range},format={pixels}"
    filters += f",setparams=colorspace={space}:color_primaries={primaries}:color_trc={transfer}:range={pixel_range}"
    quality = ("-x265-params", "log-level=error:crf=2") if codec == "libx265" else ("-crf", 2)
    tags = ("-colorspace", space, "-color_primaries", primaries, "-color_trc", transfer, "-color_range", pixel_range)
    return ("-vf", filters, "-c:v", codec, *(quality if codec != "ffv1" else ()), *tags)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        pytest.param("mp4", tagged("smpte170m", "smpte170m", "smpte170m", "yuv420p"), id="bt601"),
        pytest.param("mp4", tagged("bt709", "bt709", "bt709", "yuv420p"), id="bt709"),
        pytest.param("mp4", tagged("bt709", "bt709", "bt709", "yuv420p", pixel_range="pc"), id="full-range"),
        pytest.param("mp4", tagged("bt709", "bt709", "bt709", "yuv420p10le", "libx265"), id="10-bit"),
        pytest.param("mp4", tagged("bt709", "bt709", "bt709", "yuv422p10le", "libx265"), id="4:2:2-10-bit"),
        pytest.param("mp4", tagged("bt709", "bt709", "bt709", "yuv444p12le", "libx265"), id="4:4:4-12-bit"),
        pytest.param("mkv", ("-c:v", "ffv1", "-pix_fmt", "gbrp"), id="rgb"),
        pytest.param("mkv", ("-c:v", "ffv1", "-pix_fmt", "rgb48le"), id="rgb-16-bit"),
        pytest.param("mov", ("-c:v", "prores_ks", "-profile:v", 3, "-pix_fmt", "yuv422p10le"), id="prores"),
        pytest.param("avi", ("-c:v", "mjpeg", "-q:v", 1, "-pix_fmt", "yuvj444p"), id="mjpeg"),
    ],
)
def test_ordinary_videos(tmp_path, suffix, options):
    path = still(tmp_path / f"clip.{suffix}", None, *options)
    clip = read_reference(path, 1)
    assert clip.notes == clip.warnings == ()
    assert_corners(clip.frames[0], CORNERS)


def test_grey_of_ten_bits(tmp_path):
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (32, 256, 3))
    path = encode(tmp_path / "grey.mkv", [ramp] * 3, "-c:v", "ffv1", "-pix_fmt", "gray10le")
    assert difference(read_video(path, 1)[0], ramp) <= 1


# High dynamic range and wide gamuts


def write_codes(path, codes, transfer, primaries="bt2020", extra=""):
    """A video of squares of RGB codes from 0 to 1, (squares, 3), lossless with 12 bits."""
    squares = np.repeat(np.repeat(np.asarray(codes, float)[None], 16, 0), 16, 1)
    data = np.rint(squares * 65535).astype("<u2")
    height, width = data.shape[:2]
    space = "bt2020nc" if primaries == "bt2020" else "bt709"
    tags = f"color_primaries={primaries}:color_trc={transfer}"
    filters = f"setparams=colorspace=gbr:range=pc:{tags},scale=out_color_matrix={space}:out_range=tv,"
    filters += f"format=yuv444p12le,setparams=colorspace={space}:range=tv:{tags}"
    options = ("-colorspace", space, "-color_primaries", primaries, "-color_trc", transfer, "-tag:v", "hvc1")
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", f"{width}x{height}", "-r", 8, "-i", "-", "-vf", filters),
        *("-c:v", "libx265", "-x265-params", "log-level=error:lossless=1" + extra, *options, path),
        data=data.tobytes(),
    )
    return path


def squares(frame):
    return frame[8, 8::16].astype(int)


def grey(values):
    return np.repeat(np.asarray(values, float)[:, None], 3, 1)


def on_screen(nits):
    """What an SDR screen of 203 nits needs to show light: BT.1886."""
    return 255 * (np.minimum(np.asarray(nits), 203) / 203) ** (1 / 2.4)


# Codes of PQ from SMPTE ST 2084 for light in nits, and what BT.2390 makes of that light, from a screen of 1000 nits
# for one of 203; worked out with the formulas by hand to four digits, beside the package.
PQ_CODES = {0: 0.0, 1: 0.1499, 5: 0.2478, 20: 0.357, 50: 0.4403, 100: 0.5081, 203: 0.5807, 500: 0.6766, 1000: 0.7518}
MAPPED = {0: 0, 1: 1, 5: 5, 20: 20, 50: 50, 100: 99.4, 203: 159, 500: 198.9, 1000: 203}


def test_pq_by_the_published_curves(tmp_path):
    path = write_codes(tmp_path / "pq.mp4", grey([*PQ_CODES.values()]), "smpte2084")
    clip = read_reference(path, 1)
    assert clip.notes == ("HDR (PQ, 1000 nits) tone-mapped to SDR by ITU-R BT.2390",)
    assert np.abs(squares(clip.frames[0]) - on_screen([*MAPPED.values()])[:, None]).max() <= 4


# BT.2100: the code 0.75 is the white of graphics, 203 nits, on a screen of 1000.
HLG_NITS = {0.0: 0, 0.25: 9.6, 0.5: 50.7, 0.6: 84.8, 0.75: 203, 1.0: 1000}


def test_hlg_by_the_published_curves(tmp_path):
    path = write_codes(tmp_path / "hlg.mp4", grey([*HLG_NITS]), "arib-std-b67")
    clip = read_reference(path, 1)
    assert clip.notes == ("HDR (HLG, 1000 nits) tone-mapped to SDR by ITU-R BT.2390",)
    expected = on_screen([0, 9.6, 50.7, 84.8, 159, 203])
    assert np.abs(squares(clip.frames[0]) - expected[:, None]).max() <= 4


@pytest.mark.parametrize("is_in_folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("suffix", ["png", "avif"])
def test_hdr_pictures_are_tone_mapped_too(tmp_path, suffix, is_in_folder):
    video = write_codes(tmp_path / "pq.mp4", grey([*PQ_CODES.values()]), "smpte2084")
    codec = ("-c:v", "libaom-av1", "-crf", 1, "-still-picture", 1, "-cpu-used", 8) if suffix == "avif" else ()
    filters = "scale=out_color_matrix=bt2020nc,format=yuv444p12le" if suffix == "avif" else "format=rgb48be"
    (tmp_path / "clip").mkdir()
    path = tmp_path / "clip" / f"1.{suffix}"
    ffmpeg("-i", video, "-vf", filters, "-frames:v", 1, "-color_trc", "smpte2084", *codec, path)
    clip = read_reference(path.parent if is_in_folder else path, 1)
    assert "HDR (PQ, 1000 nits) tone-mapped to SDR by ITU-R BT.2390" in clip.notes
    assert np.abs(squares(clip.frames[0]) - on_screen([*MAPPED.values()])[:, None]).max() <= 4


# Colours that BT.709 has, too dark for the tone curve.
DIM = np.array([[0.35, 0.3, 0.25], [0.3, 0.38, 0.3], [0.25, 0.3, 0.36], [0.33, 0.33, 0.25], [0.2, 0.2, 0.2]])


@pytest.mark.parametrize(
    ("transfer", "filters"),
    [  # zscale applies HLG's system gamma to each channel by itself, and scale's table is coarse for PQ
        ("smpte2084", "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,zscale=t=bt709:m=gbr:r=pc,format=gbrp"),
        ("arib-std-b67", "scale=out_transfer=bt709:out_primaries=bt709:intent=relative_colorimetric,format=gbrp"),
    ],
)
def test_hdr_below_the_knee_is_what_the_program_shows(tmp_path, transfer, filters):
    path = write_codes(tmp_path / "dim.mp4", DIM, transfer)
    expected = rendered(path, filters)
    assert np.abs(squares(read_video(path, 1)[0]) - squares(expected[0])).max() <= 4


@pytest.mark.parametrize(
    ("primaries", "name"), [pytest.param("bt2020", "BT.2020", id="bt2020"), pytest.param("smpte432", "P3", id="p3")]
)
def test_wide_gamuts_of_ordinary_range(tmp_path, primaries, name):
    codes = np.array([[0.8, 0.5, 0.4], [0.4, 0.7, 0.4], [0.4, 0.5, 0.9], [0.6, 0.6, 0.6], [0.9, 0.8, 0.7], [1, 1, 1]])
    path = write_codes(tmp_path / "wide.mp4", codes, "bt709", primaries)
    clip = read_reference(path, 1)
    assert clip.notes == (f"colours of {name} converted to BT.709",)
    expected = rendered(path, "zscale=p=bt709:m=gbr:r=pc,format=gbrp")
    assert np.abs(squares(clip.frames[0]) - squares(expected[0])).max() <= 4


def test_the_peak_that_the_file_names_counts(tmp_path):
    screen = ":master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L({},1)"
    codes = grey([0.5807, 0.7518])
    seen = {}
    for name, extra in {
        "4000": screen.format(40000000),
        "600": screen.format(40000000) + ":max-cll=600,200",
        "203": screen.format(40000000) + ":max-cll=150,100",
    }.items():
        clip = read_reference(write_codes(tmp_path / f"{name}.mp4", codes, "smpte2084", extra=extra), 1)
        assert clip.notes == (f"HDR (PQ, {name} nits) tone-mapped to SDR by ITU-R BT.2390",)
        seen[name] = squares(clip.frames[0])[0, 0]
    assert seen["4000"] < seen["600"] < seen["203"] == 255


def test_hues_are_kept_and_white_stays_white(tmp_path):
    codes = [[0.75, 0.75, 0.75], [0.7, 0.6, 0.5], [0.9, 0.9, 0.9]]
    (low, warm, high) = squares(read_video(write_codes(tmp_path / "pq.mp4", codes, "smpte2084"), 1)[0])
    assert max(low) - min(low) <= 1
    assert max(high) - min(high) <= 1
    assert warm[0] > warm[1] > warm[2]
    assert tuple(high) == (255, 255, 255)


def test_colours_that_cannot_be_converted_are_refused(tmp_path):
    path = tmp_path / "ictcp.mp4"
    still(path, None, "-vf", "format=yuv420p10le,setparams=colorspace=ictcp:color_trc=smpte2084", "-c:v", "libx265",
          "-x265-params", "log-level=error:colormatrix=ictcp:transfer=smpte2084:colorprim=bt2020")  # fmt: skip
    with pytest.raises(VideoError, match=r"ictcp\.mp4: its colours are ICtCp, .* export it as SDR"):
        read_video(path, 1)


def matrix_to_xyz(primaries, white):
    """From linear RGB to XYZ, by chromaticities (SMPTE RP 177)."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    x, y = white
    return columns * np.linalg.solve(columns, [x / y, 1, (1 - x - y) / y])


D65 = (0.3127, 0.3290)
CHROMATICITIES = {
    1: [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)],
    9: [(0.708, 0.292), (0.170, 0.797), (0.131, 0.046)],
    12: [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)],
}


@pytest.mark.parametrize("primaries", CHROMATICITIES)
def test_matrices_are_those_of_the_chromaticities(primaries):
    to_bt709 = np.linalg.inv(matrix_to_xyz(CHROMATICITIES[1], D65))
    expected = to_bt709 @ matrix_to_xyz(CHROMATICITIES[primaries], D65)
    np.testing.assert_allclose(colour._TO_BT709[primaries], expected, atol=2e-5)


def test_the_tone_curve_rises_smoothly_from_its_knee_to_white():
    nits = np.linspace(0, 1000, 5001)
    mapped = colour.tone_curve(nits, 1000)
    assert (np.diff(mapped) >= 0).all()
    assert np.abs(mapped - nits)[nits < 87].max() < 1e-6  # the knee
    assert mapped[-1] == pytest.approx(203, abs=0.1)
    slopes = np.diff(mapped)
    assert np.abs(np.diff(slopes)).max() < 0.01


# Transparency


INVISIBLE = (250, 10, 200)


def transparent():
    """Its left third is invisible, its middle half seen where the format can, its right solid."""
    pixels = np.zeros((48, 96, 4), np.uint8)
    pixels[...] = (*INVISIBLE, 0)
    pixels[:, 32:64] = (60, 120, 200, 128)
    pixels[:, 64:] = (200, 160, 40, 255)
    return Image.fromarray(pixels)


def save_frames(path, image, **options):
    other = image.copy()
    other.putpixel((95, 47), (0, 0, 0, 255) if image.mode == "RGBA" else 0)
    image.save(path, save_all=True, append_images=[other, image], duration=100, **options)


def palette():
    image = transparent().convert("RGBA")
    quantized = image.convert("RGB").quantize(8)
    background = quantized.getpixel((0, 0))
    quantized.info["transparency"] = background
    return quantized


def transparent_video(path, *options):
    source = path.with_name("source.png")
    transparent().save(source)
    ffmpeg("-loop", 1, "-framerate", 8, "-i", source, "-frames:v", 3, *options, path)


ALPHA_WRITERS = {
    "png": lambda path: transparent().save(path),
    "tiff": lambda path: transparent().save(path),
    "palette.png": lambda path: palette().save(path, transparency=palette().info["transparency"]),
    "lossless.webp": lambda path: save_frames(path, transparent(), lossless=True, exact=True),
    "apng": lambda path: save_frames(path, transparent()),
    "avif": lambda path: save_frames(path, transparent(), quality=100, subsampling="4:4:4"),
    "gif": lambda path: save_frames(path, palette(), transparency=palette().info["transparency"], disposal=2),
    "vp9.webm": lambda path: transparent_video(
        path, "-c:v", "libvpx-vp9", "-crf", 2, "-b:v", 0, "-pix_fmt", "yuva420p"
    ),
    "vp8.webm": lambda path: transparent_video(
        path, "-c:v", "libvpx", "-auto-alt-ref", 0, "-crf", 4, "-b:v", "4M", "-pix_fmt", "yuva420p"
    ),
    "prores.mov": lambda path: transparent_video(
        path, "-c:v", "prores_ks", "-profile:v", 4444, "-pix_fmt", "yuva444p10le"
    ),
    "animation.mov": lambda path: transparent_video(path, "-c:v", "qtrle", "-pix_fmt", "argb"),
    "ffv1.mkv": lambda path: transparent_video(path, "-c:v", "ffv1", "-pix_fmt", "bgra"),
    "png.mov": lambda path: transparent_video(path, "-c:v", "png", "-pix_fmt", "rgba"),
}
HARD_EDGES = {"palette.png", "gif"}  # formats whose pixels are seen or not


@pytest.mark.parametrize("background", ["black", "#ffffff", "green"])
@pytest.mark.parametrize("name", ALPHA_WRITERS)
def test_transparent_pixels_show_the_background(tmp_path, name, background):
    skip_unwritten(name)
    path = tmp_path / f"clip.{name}"
    ALPHA_WRITERS[name](path)
    clip = read_reference(path, 1, background=background)
    under = np.array({"black": (0, 0, 0), "#ffffff": (255, 255, 255), "green": (0, 128, 0)}[background])
    half = (60, 120, 200) if name in HARD_EDGES else under + (np.array((60, 120, 200)) - under) * 128 / 255
    for column, expected in {16: under, 48: half, 80: (200, 160, 40)}.items():
        assert np.abs(clip.frames[0, 24, column].astype(int) - expected).max() <= 4, column
    assert f"transparent pixels laid over {background}" in clip.notes


def test_grey_with_transparency(tmp_path):
    Image.merge("LA", [Image.new("L", (8, 8), 100), Image.new("L", (8, 8), 0)]).save(tmp_path / "1.png")
    assert read_video(tmp_path, 1, background="white").min() == 255


@pytest.mark.parametrize("background", ["nothing", 7, "#12"])
def test_a_background_that_is_no_colour_is_refused(tmp_path, background):
    transparent().save(tmp_path / "1.png")
    with pytest.raises(ValueError, match="background must be a colour"):
        read_video(tmp_path, 1, background=background)


# Depth and profiles of pictures


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_grey_of_sixteen_bits_keeps_its_tones(tmp_path, suffix):
    if suffix == "pgm":
        skip_before("pillow", "12.0", "writes no PGM of sixteen bits")
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (4, 1))
    Image.fromarray(ramp).save(tmp_path / f"1.{suffix}")
    frames = read_video(tmp_path, 1)
    assert np.abs(frames[0, 0, :, 0] - np.arange(256.0)).max() <= 1


def test_colours_of_sixteen_bits(tmp_path):
    corners().save(tmp_path / "8.png")
    ffmpeg("-i", tmp_path / "8.png", "-pix_fmt", "rgb48be", tmp_path / "16.png")
    (tmp_path / "8.png").unlink()
    assert_corners(read_video(tmp_path, 1)[0], CORNERS)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        pytest.param(np.full((4, 4), 0.5, np.float32), "floating-point numbers", id="float"),
        pytest.param(np.full((4, 4), 70000, np.int32), "beyond 16 bits", id="32-bit"),
    ],
)
def test_pixels_of_no_known_scale_are_refused(tmp_path, array, message):
    Image.fromarray(array).save(tmp_path / "1.tif")
    with pytest.raises(VideoError, match=rf"1\.tif: its pixels are .*{message}"):
        read_video(tmp_path, 1)


def test_a_colour_profile_is_followed(tmp_path):
    """A picture stored in another profile looks as it did: here one whose values are those of Lab's lightness."""
    image = corners()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    lab = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), profile, outputMode="LAB")
    lab.save(tmp_path / "1.tif", icc_profile=profile.tobytes())
    clip = read_reference(tmp_path, 1)
    assert_corners(clip.frames[0], CORNERS)
    assert any(note.startswith("colours of Lab") for note in clip.notes)


def test_a_profile_of_no_sense_is_passed_over(tmp_path):
    corners().save(tmp_path / "1.png", icc_profile=b"no profile")
    with pytest.warns(UserWarning, match="a colour profile that does not fit"):
        assert_corners(read_video(tmp_path, 1)[0], CORNERS)


@pytest.mark.parametrize(
    ("curve", "name"), [("linear", "linear light"), ("log100", "logarithmic"), ("smpte428", "cinema")]
)
def test_curves_that_cannot_be_converted_are_refused(tmp_path, curve, name):
    path = tmp_path / "curve.mkv"
    still(path, None, "-vf", f"format=yuv420p10le,setparams=color_trc={curve}", "-c:v", "ffv1")
    with pytest.raises(VideoError, match=rf"curve\.mkv: its colours are .*{name}.* export it as SDR"):
        read_video(path, 1)
