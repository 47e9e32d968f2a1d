"""Registers the adapter type `MOTION_EMBEDDING` with PEFT. Nothing else touches PEFT's enumeration of types."""

from peft import PeftType
from peft.utils import register_peft_method

from diffusers_motion_embed.config import PEFT_TYPE, MotionEmbeddingConfig
from diffusers_motion_embed.peft_tuner.model import MotionEmbeddingModel


def register_motion_embedding() -> None:
    """Register the adapter type with PEFT. Repeated calls do nothing.

    PEFT offers no way to add types from outside: its registry and its saving code ask for a member of the `PeftType`
    enumeration. The enumeration therefore gains a member here.
    """
    if PEFT_TYPE not in PeftType.__members__:
        member = str.__new__(PeftType, PEFT_TYPE)
        member._name_ = member._value_ = PEFT_TYPE
        type.__setattr__(PeftType, PEFT_TYPE, member)  # the enumeration's own __setattr__ would refuse
        PeftType._member_names_.append(PEFT_TYPE)
        PeftType._member_map_[PEFT_TYPE] = member
        PeftType._value2member_map_[PEFT_TYPE] = member
        register_peft_method(name=PEFT_TYPE.lower(), config_cls=MotionEmbeddingConfig, model_cls=MotionEmbeddingModel)
