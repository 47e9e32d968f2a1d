"""Look at what would be learned from a reference, before anything is trained.

    python -m examples.look_at_reference skateboard.mp4 --reference_fps 8 --start_seconds 1.5 --height 512 --width 512

For each video or folder of pictures it writes a sheet of all frames with their times (PNG) and a small animation (GIF)
of exactly the frames that training would get from the same arguments, and says their size, their rate and what was
done to them.
"""

import argparse
from pathlib import Path

from PIL import Image

from diffusers_motion_embed import MotionEmbeddingError, ReferenceClip, read_reference
from diffusers_motion_embed.commands.training_arguments import add_frames, frame_settings, preview_fps
from diffusers_motion_embed.video.files import clip_name
from diffusers_motion_embed.video.sheets import labelled_sheet


COLUMNS = 8
SHEET_SIDE, GIF_SIDE = 192, 320  # longest side of a frame there, in pixels


def small(clip: ReferenceClip, side: int) -> list[Image.Image]:
    """The frames, their longer side no longer than a number of pixels."""
    pictures = [Image.fromarray(frame) for frame in clip.frames]
    for picture in pictures:
        picture.thumbnail((side, side))
    return pictures


def sheet_of_all_frames(clip: ReferenceClip) -> Image.Image:
    """All frames, each under its number and the time at which the reference shows it."""
    texts = [f"{number}: {time:.2f} s" if clip.fps else str(number) for number, time in enumerate(clip.times, 1)]
    cells = list(zip(texts, small(clip, SHEET_SIDE), strict=True))
    return labelled_sheet([cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)])


def write_look(clip: ReferenceClip, fps: float, output_dir: Path) -> list[Path]:
    """Write sheet and animation, and return where they are."""
    output_dir.mkdir(parents=True, exist_ok=True)
    sheet, animation = (output_dir / f"{clip_name(clip.path)}.{suffix}" for suffix in ("png", "gif"))
    sheet_of_all_frames(clip).save(sheet)
    first, *others = small(clip, GIF_SIDE)
    first.save(animation, save_all=True, append_images=others, duration=round(1000 / fps), loop=0)
    return [sheet, animation]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+", metavar="VIDEO", help="Video files or folders of pictures.")
    add_frames(parser)
    parser.add_argument("--fps", type=float, help="Of the animation; by default the rate of the reference.")
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/references"))
    options = parser.parse_args(arguments)
    names = [clip_name(video) for video in options.videos]
    if len(set(names)) < len(names):
        parser.error("Give every video a name of its own, because its pictures get that name.")
    failed = 0
    for video in options.videos:
        try:
            clip = read_reference(video, **frame_settings(options))
        except (MotionEmbeddingError, OSError) as error:
            print(error)
            failed += 1
            continue
        print(clip.summary())
        for path in write_look(clip, preview_fps(options, clip), options.output_dir):
            print(f"  {path}")
    if failed:
        raise SystemExit(f"{failed} of {len(options.videos)} could not be read.")


if __name__ == "__main__":
    main()
