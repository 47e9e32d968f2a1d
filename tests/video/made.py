"""Files that tests make, with imageio's FFmpeg program and with Pillow, and that program's rendering of them."""

import subprocess
from functools import lru_cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image


RED, GREEN, BLUE, YELLOW, WHITE = (220, 30, 30), (20, 160, 40), (30, 40, 210), (230, 210, 40), (255, 255, 255)


def ffmpeg(*arguments, data=None):
    """Run the FFmpeg program; its standard output."""
    command = [_program(), "-y", "-v", "error", *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return done.stdout


@lru_cache
def _program():
    return imageio_ffmpeg.get_ffmpeg_exe()


def corners(width=96, height=64):
    """A picture whose four corners differ, so that every turn and mirror shows."""
    image = Image.new("RGB", (width, height), WHITE)
    w, h = width * 3 // 8, height * 3 // 8
    for place, colour in zip([(0, 0), (width - w, 0), (0, height - h), (width - w, height - h)], CORNERS, strict=True):
        image.paste(colour, (*place, place[0] + w, place[1] + h))
    return image


CORNERS = (RED, GREEN, BLUE, YELLOW)  # upper left, upper right, lower left, lower right


def numbered(count, height=32, width=64, first=0):
    """Frames that show their numbers in binary, eight columns black or white."""
    numbers = np.arange(first, first + count)
    bits = (numbers[:, None] >> np.arange(8)) & 1
    row = np.repeat(bits * 255, width // 8, axis=1).astype(np.uint8)
    return np.broadcast_to(row[:, None, :, None], (count, height, width, 3)).copy()


def numbers_of(frames):
    """The numbers that frames show."""
    columns = frames.shape[2] // 8
    bits = frames[:, frames.shape[1] // 2, columns // 2 :: columns, 1] > 127
    return (bits << np.arange(8)).sum(-1).tolist()


def encode(path, frames, *options, rate=8, before=()):
    """Write (frames, height, width, 3), uint8, as a video."""
    frames = np.asarray(frames)
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", rate, "-i", "-")
    ffmpeg(*before, *raw, *options, path, data=frames.tobytes())
    return path


H264 = ("-c:v", "libx264", "-crf", 4, "-pix_fmt", "yuv420p")


def still(path, image=None, *options, count=3):
    """A video of one picture."""
    return encode(path, [np.asarray(image or corners())] * count, *(options or H264))


def rendered(path, filters="null", count=1, before=()):
    """The first frames as the FFmpeg program shows them, (frames, height, width, 3)."""
    png = Path(path).with_name("rendered.png")
    pictures = []
    options = ("-vf", filters, "-frames:v", count, "-f", "image2", png.with_name("rendered-%d.png"))
    ffmpeg(*before, "-i", f"file:{path}", *options)
    for number in range(1, count + 1):
        with Image.open(png.with_name(f"rendered-{number}.png")) as image:
            pictures.append(np.asarray(image.convert("RGB")))
    return np.stack(pictures)


def difference(one, other):
    """Greatest difference of any pixel."""
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def corner_colours(frame):
    """Colours near the four corners, in the order of CORNERS."""
    height, width = frame.shape[:2]
    places = [(y, x) for y in (height // 6, height - 1 - height // 6) for x in (width // 6, width - 1 - width // 6)]
    return [tuple(frame[place].tolist()) for place in places]


def assert_corners(frame, expected, tolerance=4):
    assert np.abs(np.array(corner_colours(frame)) - np.array(expected)).max() <= tolerance, corner_colours(frame)
