"""Captions of references, in text files beside them: found, decoded, and never empty."""

import codecs
import unicodedata
from pathlib import Path

from diffusers_motion_embed.errors import CaptionError
from diffusers_motion_embed.video.files import clip_name


# Longer marks first: UTF-32 begins like UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Letters and symbols that show nothing: Hangul fillers and the empty Braille pattern.
_BLANK = set("\u115f\u1160\u3164\uffa0\u2800")


def read_caption(video: Path) -> str:
    """The prompt of a reference, from the text file beside it: `clip.txt` for `clip.mp4`, `take.1.txt` for `take.1/`.

    Raises:
        CaptionError: If there is no such file, it shows nothing, or its encoding is not one of Unicode's.
    """
    path = caption_path(video)
    text = visible(read_text(path)) if path.is_file() else ""
    if not text:
        what = "holds no text" if path.is_file() else "does not exist"
        raise CaptionError(
            f"No prompt for {video}: {path} {what}. Write into it what the video shows, or give a prompt."
        )
    return text


def caption_path(video: Path) -> Path:
    """Path of a reference's caption."""
    return video.with_name(f"{clip_name(video)}.txt")


def visible(text: str) -> str:
    """The text without blanks and invisible characters at its ends; empty if there is nothing else in it."""
    shown = [number for number, character in enumerate(text) if _is_seen(character)]
    return text[shown[0] : shown[-1] + 1] if shown else ""


def read_text(path: Path) -> str:
    """A text file in UTF-8, or in UTF-16 or UTF-32 with its mark.

    Raises:
        CaptionError: If it is in another encoding.
    """
    data = path.read_bytes()
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise CaptionError(
            f"{path} is not {encoding.removesuffix('-sig').upper()} text (byte {error.start}); save it as UTF-8."
        ) from error
    if "\0" in text:  # UTF-16 without a mark looks like this
        raise CaptionError(f"{path} is not UTF-8 text (byte {text.index(chr(0))} is zero); save it as UTF-8.")
    return text


def _is_seen(character: str) -> bool:
    # Categories C: controls, formats, surrogates, unassigned; Z: separators; M alone: marks on nothing.
    return unicodedata.category(character)[0] not in "CZ" and character not in _BLANK
