"""Reading late frames of a long video, over what FFmpeg's own program takes, which decodes from a key frame."""

import subprocess
import tempfile
import time
from pathlib import Path

import imageio_ffmpeg
import psutil

from benchmarks.cost.timing import Figure, alternate, ratio
from diffusers_motion_embed import read_video


NUM_FRAMES = 16
GOAL = 1.5


def measure_seeking(rounds: int, size: str = "1920x1080", seconds: int = 60) -> list[Figure]:
    """Processor time of both, child processes included, and time on the wall; from the middle of a clip."""
    start = seconds / 2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        source = f"testsrc2=size={size}:rate=30:duration={seconds}"
        _ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", path)
        options = ("-frames:v", NUM_FRAMES, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
        runs = {
            "package": lambda: read_video(path, NUM_FRAMES, start_seconds=start),
            "program": lambda: _ffmpeg("-ss", start, "-i", path, *options),
        }
        figures = []
        for clock, kind in ((_processor_time, "processor time"), (time.perf_counter, "time on the wall")):
            taken = alternate(runs, rounds, "seeking", clock)
            name = f"{NUM_FRAMES} frames from second {start:g} of {seconds}, {size}, over FFmpeg, {kind}"
            figures.append(ratio(name, taken["package"], taken["program"], GOAL))
    return figures


def _ffmpeg(*arguments) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def _processor_time() -> float:
    times = psutil.Process().cpu_times()
    return times.user + times.system + times.children_user + times.children_system
