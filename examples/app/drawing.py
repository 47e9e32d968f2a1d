"""Clips, frames, timelines, paths and losses as HTML, with their pictures in it: no file that could be reached."""

import base64
import html
import io
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from diffusers_motion_embed import ReferenceClip
from diffusers_motion_embed.metrics.motion import MIN_SEEN, STATIC_EXTENT
from diffusers_motion_embed.metrics.tracking import Tracks
from diffusers_motion_embed.video.sheets import scaled, webp


_renderings = itertools.count()
CLIP_SIDE, FRAME_SIDE = 320, 112  # the longest side of moving and of small pictures, in pixels


def clips(shown: Iterable[tuple[str, np.ndarray, float]]) -> str:
    """Moving pictures beside one another, which begin together.

    A browser goes on with a picture whose address it has shown before, so each rendering has addresses of its own.

    Args:
        shown: The caption, the frames, (frames, height, width, 3), uint8, and the frames per second of each.
    """
    rendering = next(_renderings)
    figures = [
        _figure(caption, f"{_moving(frames, fps)}#{rendering}", "moving picture") for caption, frames, fps in shown
    ]
    return f'<div class="clips">{"".join(figures)}</div>'


def frames(clip: ReferenceClip) -> str:
    """A strip of all frames of a reference, each above its time."""
    texts = [f"{time:.2f} s" if clip.fps else f"{number}" for number, time in enumerate(clip.times, 1)]
    cells = [
        f'<li><img src="{_still(frame)}" alt="frame {number}"><span>{text}</span></li>'
        for number, (frame, text) in enumerate(zip(clip.frames, texts, strict=True), 1)
    ]
    title = f"{len(cells)} frames of {clip.frames.shape[2]} x {clip.frames.shape[1]} will be learned"
    return f'<p><b>{title}</b></p><ol class="strip" aria-label="{title}">{"".join(cells)}</ol>'


def timeline(overview: np.ndarray, duration: float, times: Sequence[float]) -> str:
    """The whole clip as a band, with the used part lit, and a tick at each frame that is used.

    Args:
        overview: Frames from all over the clip, (frames, height, width, 3), uint8.
        duration: Its length in seconds.
        times: The moments that are used, in seconds.
    """
    shares = [100 * min(time / duration, 1.0) for time in times]
    left, right = shares[0], min(100.0, shares[-1] + 100 / (duration * _rate(times)))
    pictures = "".join(f'<img src="{_still(frame)}" alt="">' for frame in overview)
    ticks = "".join(f'<i style="left:{share:.2f}%"></i>' for share in shares)
    shades = f'<b style="left:0;width:{left:.2f}%"></b><b style="left:{right:.2f}%;right:0"></b>'
    text = f"second {times[0]:.2f} to {times[0] + len(times) / _rate(times):.2f} of {duration:.2f} is used"
    return (
        f'<div class="timeline" role="img" aria-label="timeline: {text}">{pictures}{shades}{ticks}</div><p>{text}</p>'
    )


def paths(drawn: Sequence[tuple[str, Tracks]]) -> str:
    """The ways that things take in clips, over each other, whatever the place where they begin.

    Args:
        drawn: Names and tracks; the first is the reference.
    """
    height, width = drawn[0][1].frame_size
    groups, legend = [], []
    for number, (name, tracks) in enumerate(drawn):
        way = _way(tracks)
        groups.append("" if way is None else f'<g class="path{number}">{_line(way)}</g>')
        missing = " (nothing moves)" if way is None else ""
        legend.append(f'<span class="path{number}">{html.escape(name)}{missing}</span>')
    text = "the ways that things take: " + ", ".join(name for name, _ in drawn)
    svg = f'<svg viewBox="-50 {-50 * height / width:.1f} 100 {100 * height / width:.1f}" role="img"'
    svg += f' aria-label="{html.escape(text)}">{"".join(groups)}</svg>'
    return f'<figure class="paths">{svg}<figcaption>{"".join(legend)}</figcaption></figure>'


def losses(values: Sequence[tuple[int, float]], total: int) -> str:
    """The loss at steps as a curve, and where the run stands."""
    if not values:
        return ""
    (step, last), highest = values[-1], max(loss for _, loss in values)
    points = " ".join(f"{100 * each / total:.1f},{29 - 28 * loss / highest:.1f}" for each, loss in values)
    text = f"step {step} of {total}, loss {last:.3f}"
    svg = f'<svg viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label="loss curve: {text}">'
    return f'<figure class="losses">{svg}<polyline points="{points}"/></svg><figcaption>{text}</figcaption></figure>'


def note(text: str) -> str:
    """A line of text in the place of a picture."""
    return f'<p class="note">{html.escape(text)}</p>'


def moving_picture(frames: np.ndarray, fps: float) -> bytes:
    """An animated WebP of (frames, height, width, 3), uint8. Players show pictures of few pixels without blur."""
    pictures = _small(frames, CLIP_SIDE)
    return webp(pictures, fps, lossless=max(pictures[0].size) < CLIP_SIDE)


def inline(content: bytes, kind: str) -> str:
    """A picture as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def enlargement(frames: np.ndarray) -> int:
    """How many times larger a clip of few pixels is to be shown."""
    return max(1, CLIP_SIDE // max(frames.shape[1:3]))


def enlarged(frame: np.ndarray) -> np.ndarray:
    """A frame, (height, width, 3), uint8, at the size at which it is shown."""
    return np.asarray(scaled(frame[None], enlargement(frame[None]) * frame.shape[1])[0])


def _figure(caption: str, source: str, kind: str) -> str:
    caption = html.escape(caption)
    return f'<figure><img src="{source}" alt="{kind}: {caption}"><figcaption>{caption}</figcaption></figure>'


def _moving(frames: np.ndarray, fps: float) -> str:
    return inline(moving_picture(frames, fps), "webp")


def _still(frame: np.ndarray) -> str:
    file = io.BytesIO()
    _small(frame[None], FRAME_SIDE)[0].save(file, "PNG")
    return inline(file.getvalue(), "png")


def _small(frames: np.ndarray, side: int) -> list[Image.Image]:
    """Pictures of at most this many pixels along the longer side."""
    height, width = frames.shape[1:3]
    return scaled(frames, min(width, max(1, round(side * width / max(height, width)))))


def _rate(times: Sequence[float]) -> float:
    """Moments per second."""
    return (len(times) - 1) / (times[-1] - times[0]) if times[-1] > times[0] else 1.0


def _way(tracks: Tracks) -> np.ndarray | None:
    """The median way of the tracks that are seen for long and move, around its middle; None if there are none.

    Returns:
        (frames, 2), x then y, in hundredths of the frame's width.
    """
    shown = tracks.visible[..., None]
    extent = np.where(shown, tracks.points, -np.inf).max(1) - np.where(shown, tracks.points, np.inf).min(1)
    moves = np.linalg.norm(extent, axis=-1) >= STATIC_EXTENT * np.hypot(*tracks.frame_size)
    kept = moves & (tracks.visible.mean(1) >= MIN_SEEN)
    if not kept.any():
        return None
    known = shown[kept, 1:] & shown[kept, :-1]
    steps = np.ma.median(np.ma.array(np.diff(tracks.points[kept], axis=1), mask=~known.repeat(2, -1)), axis=0)
    way = np.concatenate([np.zeros((1, 2)), steps.filled(0).cumsum(0)])
    return 100 / tracks.frame_size[1] * (way - (way.max(0) + way.min(0)) / 2)


def _line(points: np.ndarray) -> str:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{0.9 if n else 2}"/>' for n, (x, y) in enumerate(points))
    return f'<polyline points="{line}"/>{dots}'
