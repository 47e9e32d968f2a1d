"""The two kinds of pipelines that sequences are run on, and how thoroughly."""

from hypothesis import settings

from tests.composition.lora_rules import LoraRules
from tests.composition.motion_rules import MotionRules
from tests.conftest import make_animatediff, make_text_to_video


IS_THOROUGH = settings.get_current_profile_name() == "all"  # pytest --hypothesis-profile=all
PROJECTION_WEIGHTS = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight")


class TextToVideo(LoraRules, MotionRules):
    """On a UNet3DConditionModel."""

    make_pipe = staticmethod(make_text_to_video)


class AnimateDiff(LoraRules, MotionRules):
    """On a UNetMotionModel."""

    @staticmethod
    def make_pipe():
        pipe = make_animatediff()
        for path, parameter in pipe.unet.named_parameters():
            if "motion_modules" in path and path.endswith(PROJECTION_WEIGHTS):
                parameter.data.mul_(2.5)  # as they are, they look at all frames nearly alike, whatever is added
        return pipe


MACHINES = (TextToVideo, AnimateDiff)
