"""Other methods of motion transfer, built from their papers, to measure motion embeddings beside."""

from benchmarks.peers.dmt import SpaceTimeFeatures
from benchmarks.peers.generation import NoisePrior
from benchmarks.peers.inverted import InvertedNoise
from benchmarks.peers.method import Method, Reference, Transfer
from benchmarks.peers.motion_director import MotionDirector
from benchmarks.peers.motion_embedding import MotionEmbedding
from benchmarks.peers.temporal_lora import TemporalLora
from benchmarks.peers.training import TIMING, helped
from benchmarks.peers.vmc import VideoMotionCustomization


# All train and act where motion embeddings do by default, each at the learning rate that served it best of those that
# were tried.
METHODS: dict[str, Method] = {
    "motion embedding": MotionEmbedding(),
    "temporal LoRA": TemporalLora(helped(0.03), timing=TIMING),
    "MotionDirector": MotionDirector(helped(0.03), timing=TIMING),
    "VMC": VideoMotionCustomization(helped(0.01), timing=TIMING),
    "DMT": SpaceTimeFeatures(),
    "inverted noise": InvertedNoise(NoisePrior()),
}

__all__ = ["METHODS", "Method", "NoisePrior", "Reference", "Transfer"]
