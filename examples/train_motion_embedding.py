"""Learn a motion embedding from a reference video: `diffusers-motion-embed train`, as `accelerate launch` needs it.

accelerate launch examples/train_motion_embedding.py --help
"""

import sys
from pathlib import Path


if not __package__:  # started by its path, as `accelerate launch` does
    sys.path.insert(0, str(Path(__file__).parents[1]))

from diffusers_motion_embed.commands.endings import errors_in_words
from diffusers_motion_embed.commands.train import main


if __name__ == "__main__":
    with errors_in_words():
        main()
