"""Other methods of motion transfer, built from their papers, to measure motion embeddings beside."""

from benchmarks.peers.dmt import SpaceTimeFeatures
from benchmarks.peers.generation import NoisePrior
from benchmarks.peers.inverted import InvertedNoise
from benchmarks.peers.method import Method, Reference, Transfer
from benchmarks.peers.motion_director import MotionDirector
from benchmarks.peers.motion_embedding import MotionEmbedding
from benchmarks.peers.temporal_lora import TemporalLora
from benchmarks.peers.training import HELPED, helped, timing_of
from benchmarks.peers.vmc import VideoMotionCustomization


# With the settings that served each best of those that were tried; all train where motion is decided, and act there.
METHODS: dict[str, Method] = {
    "motion embedding": MotionEmbedding(),
    "temporal LoRA": TemporalLora(helped(1e-2), timing=timing_of(HELPED)),
    "MotionDirector": MotionDirector(helped(1e-2), timing=timing_of(HELPED)),
    "VMC": VideoMotionCustomization(helped(1e-3), timing=timing_of(HELPED)),
    "DMT": SpaceTimeFeatures(),
    "inverted noise": InvertedNoise(NoisePrior()),
}

__all__ = ["METHODS", "Method", "NoisePrior", "Reference", "Transfer"]
