"""From a file's colours to those of an ordinary screen: high dynamic range, wide gamuts, transparency, depth.

Transfer curves are those of ITU-R BT.2100 (PQ and HLG) and BT.1886, the tone curve is the EETF of ITU-R BT.2390.
FFmpeg's own filters need zscale for this, which PyAV's FFmpeg lacks; its `scale` first computes a table that takes
seconds for every file.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageColor

from diffusers_motion_embed.errors import VideoError
from diffusers_motion_embed.video.source import Notes


if TYPE_CHECKING:  # an extra, which pictures do not need
    from av import VideoFrame


# As FFmpeg numbers them (ITU-T H.273).
PQ, HLG = 16, 18
_BT709, _BT2020, _P3 = 1, 9, 12
_UNREADABLE_SPACES = {10: "BT.2020 of constant luminance", 14: "ICtCp", 15: "IPT (Dolby Vision profile 5)"}

_UNREADABLE_CURVES = {8: "linear light", 9: "logarithmic", 10: "logarithmic", 17: "digital cinema's (SMPTE ST 428)"}

_SDR_WHITE = 203.0  # nits: the white of graphics and subtitles in HDR, ITU-R BT.2408
_NOMINAL_PEAK = 1000.0  # nits: for HLG, and for PQ that does not say how it was made
_LUMA_BT2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
# Linear light from other primaries to BT.709: ITU-R BT.2087, and the same computation for SMPTE EG 432-1.
_TO_BT709 = {
    _BT2020: np.array(
        [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]],
        np.float32,
    ),
    _P3: np.array(
        [[1.224940, -0.224940, 0.0], [-0.042057, 1.042057, 0.0], [-0.019638, -0.078636, 1.098274]], np.float32
    ),
    _BT709: np.eye(3, dtype=np.float32),
}


def pq_to_nits(code: np.ndarray) -> np.ndarray:
    """PQ code values from 0 to 1 as light, in candela per square metre (BT.2100, table 4)."""
    power = np.power(np.asarray(code, np.float64), 32 / 2523)
    return 10000 * np.power(np.maximum(power - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * power), 8192 / 1305)


def nits_to_pq(nits: np.ndarray | float) -> np.ndarray:
    """The inverse of `pq_to_nits`."""
    power = np.power(np.asarray(nits, np.float64) / 10000, 1305 / 8192)
    return np.power((107 / 128 + 2413 / 128 * power) / (1 + 2392 / 128 * power), 2523 / 32)


def hlg_to_scene(code: np.ndarray) -> np.ndarray:
    """HLG code values from 0 to 1 as light of the scene, from 0 to 1 (BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    code = np.asarray(code, np.float64)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


def tone_curve(nits: np.ndarray, peak: float) -> np.ndarray:
    """What a screen of 203 nits shows of light made for a screen of `peak` nits (BT.2390, section 5.4.1)."""
    brightest = nits_to_pq(peak)
    limit = nits_to_pq(_SDR_WHITE) / brightest
    if limit >= 1:
        return np.asarray(nits, np.float64)
    code = np.minimum(nits_to_pq(nits) / brightest, 1)
    knee = 1.5 * limit - 0.5
    t = (code - knee) / (1 - knee)
    above = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * limit
    return pq_to_nits(np.where(code < knee, code, above) * brightest)


def to_rgb(frame: VideoFrame, background: str, notes: Notes) -> np.ndarray:
    """A decoded frame in the colours of an ordinary screen, over `background` where it is transparent.

    Returns:
        RGB, (height, width, 3), uint8.

    Raises:
        VideoError: If its colours are of a kind that cannot be converted.
    """
    unreadable = _UNREADABLE_SPACES.get(int(frame.colorspace)) or _UNREADABLE_CURVES.get(int(frame.color_trc))
    if unreadable:
        raise VideoError(f"its colours are {unreadable}, which cannot be converted; export it as SDR (BT.709) first")
    has_alpha = frame.format.has_palette or any(each.is_alpha for each in frame.format.components)
    primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
    is_high_range = transfer in (PQ, HLG)
    if not is_high_range and primaries not in (_BT2020, _P3):
        array = _pixels(frame, "rgba" if has_alpha else "rgb24")
    else:
        array = _pixels(frame, "rgba64le" if has_alpha else "rgb48le")
        colours = _convert(array[..., :3], primaries, transfer, _peak(frame), notes)
        array = np.concatenate([colours, (array[..., 3:] >> 8).astype(np.uint8)], -1)
    return np.asarray(over_background(Image.fromarray(array), background, notes)) if has_alpha else array


def _pixels(frame: VideoFrame, pixel_format: str) -> np.ndarray:
    """(height, width, channels); interpolated as FFmpeg's own program does, where colours are stored more coarsely."""
    return frame.reformat(format=pixel_format, interpolation="BICUBIC").to_ndarray()


def over_background(image: Image.Image, background: str, notes: Notes) -> Image.Image:
    """An RGBA image laid over a colour, as RGB."""
    if np.asarray(image.getchannel("A")).min() < 255:
        notes.add(f"transparent pixels laid over {background}")
    return Image.alpha_composite(Image.new("RGBA", image.size, background_colour(background)), image).convert("RGB")


def background_colour(background: str) -> tuple[int, int, int]:
    """A colour by name or as "#rrggbb".

    Raises:
        ValueError: If there is no such colour.
    """
    try:
        return ImageColor.getrgb(background)[:3]
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f'background must be a colour such as "black" or "#808080", got {background!r}.') from error


def _convert(codes: np.ndarray, primaries: int, transfer: int, peak: float, notes: Notes) -> np.ndarray:
    """Convert 16-bit codes (height, width, 3) of another range or gamut to 8-bit codes of BT.709 and BT.1886."""
    if transfer in (PQ, HLG):
        peak = peak if transfer == PQ else _NOMINAL_PEAK
        name = "PQ" if transfer == PQ else "HLG"
        notes.add(f"HDR ({name}, {peak:.0f} nits) tone-mapped to SDR by ITU-R BT.2390")
        light = _light(codes, transfer)
        brightest = light.max(-1)
        grid, mapped = _tone_table(peak)
        # All three channels are scaled by what the brightest of them needs, which keeps hues.
        light *= (np.interp(brightest, grid, mapped) / np.maximum(brightest, grid[1]))[..., None] / _SDR_WHITE
        primaries = primaries if primaries in _TO_BT709 else _BT2020
    else:
        notes.add(f"colours of {'BT.2020' if primaries == _BT2020 else 'P3'} converted to BT.709")
        light = (codes / np.float32(65535)) ** np.float32(2.4)
    light = np.clip(light.astype(np.float32) @ _TO_BT709[primaries].T, 0, 1)
    return np.rint(255 * light ** np.float32(1 / 2.4)).astype(np.uint8)


def _light(codes: np.ndarray, transfer: int) -> np.ndarray:
    """Light on an HDR screen, in nits."""
    light = _code_table(transfer)[codes]
    if transfer == HLG:  # the system gamma of a screen of 1000 nits
        light *= _NOMINAL_PEAK * np.maximum(light @ _LUMA_BT2020, 1e-6)[..., None] ** np.float32(0.2)
    return light


@lru_cache
def _code_table(transfer: int) -> np.ndarray:
    codes = np.linspace(0, 1, 65536)
    return (pq_to_nits(codes) if transfer == PQ else hlg_to_scene(codes)).astype(np.float32)


@lru_cache
def _tone_table(peak: float) -> tuple[np.ndarray, np.ndarray]:
    """Light, in steps of PQ, and what it becomes."""
    grid = pq_to_nits(np.linspace(0, 1, 4096))
    return grid, tone_curve(grid, peak)


def _peak(frame: VideoFrame) -> float:
    """The brightest light of a frame's content, or else of the screen it was made on, in nits."""
    content: Any = frame.side_data.get("CONTENT_LIGHT_LEVEL")
    peak = struct.unpack_from("=I", bytes(content))[0] if content is not None else 0
    screen: Any = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    if not peak and screen is not None:  # AVMasteringDisplayMetadata: ten fractions, of which the last is the maximum
        numerator, denominator = struct.unpack_from("=2i", bytes(screen), 72)
        peak = numerator / denominator if denominator else 0
    return float(min(max(peak, _SDR_WHITE), 10000)) if peak else _NOMINAL_PEAK
