"""How a frame is shown: which way up, how wide its pixels are, its fields, and the requested size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from diffusers_motion_embed.video.source import Notes, Picture


if TYPE_CHECKING:  # an extra, which pictures do not need
    from av import VideoFrame
    from av.filter import Graph


def upright(pixels: np.ndarray, aspect: float, matrix: np.ndarray | None, notes: Notes) -> Picture:
    """Turn, mirror and widen an image as players do.

    Args:
        pixels: (height, width, 3), as they are stored.
        aspect: Width of a stored pixel divided by its height.
        matrix: (3, 3), the display matrix: a stored point (x, y) is shown at (a·x + c·y, b·x + d·y), where a, b and
            c, d begin its first two rows (ISO/IEC 14496-12, 8.3.2). None is upright.
        notes: Collects what was done.
    """
    height, width = pixels.shape[:2]
    size = (max(1, round(width * aspect)), height)
    if size != (width, height):
        notes.add(f"pixels made square: {width} x {height} stored, {size[0]} x {size[1]} shown")
    if matrix is None or not matrix[:2, :2].any():
        return Picture(pixels, size)
    is_turned, across = _orientation(matrix, notes)
    if is_turned:
        pixels, size = pixels.swapaxes(0, 1), size[::-1]
    if is_turned or min(across) < 0:
        notes.add("turned or mirrored as the file says")
    return Picture(pixels[:: -1 if across[1] < 0 else 1, :: -1 if across[0] < 0 else 1], size)


def _orientation(matrix: np.ndarray, notes: Notes) -> tuple[bool, tuple[int, int]]:
    """Whether rows become columns, and the scales across and down after that; negative scales mirror."""
    (a, b), (c, d) = matrix[:2, :2].tolist()
    is_turned = abs(b) + abs(c) > abs(a) + abs(d)
    across, along = ((c, b), (a, d)) if is_turned else ((a, d), (b, c))
    if max(map(abs, along)) > 0.05 * max(map(abs, across)):
        notes.warn("the file asks for a turn by an odd angle; the nearest quarter turn was used")
    return is_turned, across


def display_matrix(frame: VideoFrame) -> np.ndarray | None:
    """The (3, 3) display matrix of a decoded frame, if it has one."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(bytes(data), np.int32).reshape(3, 3)


def deinterlaced(frames: Iterable[VideoFrame], notes: Notes) -> Iterator[VideoFrame]:
    """Remove combs from frames whose fields were taken at two moments; other frames stay as they are."""
    graph = None
    for frame in frames:
        if graph is None and frame.interlaced_frame:
            notes.add("deinterlaced")
            graph = _deinterlacer(frame)
        if graph is None:
            yield frame
        else:
            graph.push(frame)
            yield from _pulled(graph)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph)


def _deinterlacer(frame: VideoFrame) -> Graph:
    from av.filter import Graph

    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base, name="in"
    )
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _pulled(graph: Graph) -> Iterator[VideoFrame]:
    """The frames that a graph has ready."""
    import av

    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return


def fit(picture: Picture, height: int | None, width: int | None) -> np.ndarray:
    """Scale a picture to cover a size, and crop it around the centre. By default it keeps its own size.

    Returns:
        (height, width, 3), uint8.
    """
    size = (width or picture.size[0], height or picture.size[1])
    stored = picture.pixels.shape[1::-1]
    if stored == picture.size == size:
        return picture.pixels
    image = Image.fromarray(np.ascontiguousarray(picture.pixels))
    scale = max(wanted / shown for wanted, shown in zip(size, picture.size, strict=True))
    # The share of the picture that is seen along each axis, in stored pixels.
    parts = [own * wanted / (shown * scale) for own, wanted, shown in zip(stored, size, picture.size, strict=True)]
    left, top = ((own - part) / 2 for own, part in zip(stored, parts, strict=True))
    box = (left, top, left + parts[0], top + parts[1])
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, box=box))
