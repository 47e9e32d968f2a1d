"""What a training run says at its end: a page of clips, figures and advice. The package root does not import it."""

from diffusers_motion_embed.reports.advice import advise
from diffusers_motion_embed.reports.page import write_report
from diffusers_motion_embed.reports.prompts import offer_prompts, without_report
from diffusers_motion_embed.reports.selection import Candidate, Selection, select_best
from diffusers_motion_embed.reports.validation import (
    Measures,
    Validation,
    mean_figures,
    measure,
    measure_all,
    validate,
)
from diffusers_motion_embed.reports.videos import track_video, write_videos


__all__ = [
    "Candidate",
    "Measures",
    "Selection",
    "Validation",
    "advise",
    "mean_figures",
    "measure",
    "measure_all",
    "offer_prompts",
    "select_best",
    "track_video",
    "validate",
    "without_report",
    "write_report",
    "write_videos",
]
