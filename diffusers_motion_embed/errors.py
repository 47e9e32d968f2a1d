"""What can go wrong, as types. Every error is also the built-in type that a caller would expect.

MotionEmbeddingError
├── UnsupportedModelError (TypeError)            the model or pipeline has no table entry
├── TargetModulesError (ValueError)              no layer to put an embedding on
├── AdapterNameError (ValueError)                an unknown or a repeated adapter name
├── MotionScaleError (ValueError)                a scale that is not a finite number
├── IncompatibleEmbeddingError (ValueError)      a sound embedding that does not fit the model
├── EmbeddingFileError (ValueError)              a file that is not a sound motion embedding
├── EmbeddingNotFoundError (FileNotFoundError)   nothing where the embedding should be
├── EmbeddingAccessError (PermissionError)       the Hub refuses the repository to this user
├── EmbeddingDownloadError (ConnectionError)     an embedding that does not arrive from the Hub
├── EmbeddingUploadError (ConnectionError)       an embedding that does not reach the Hub
├── MissingLayersError (RuntimeError)            layers that an embedding adapts were taken away
├── DividedClipError (ValueError)                something cuts the clip apart before it is attended to
├── CheckpointError (ValueError)                 a checkpoint that a run cannot go on from
├── FeaturesError (ValueError)                   kept text features that a run cannot use, or cannot keep
├── NotFiniteError (ArithmeticError)             numbers became infinite or NaN
│   └── TrainingDivergedError                    the loss or the embedding did so in training
├── VideoError (ValueError)                      a reference video that cannot be used
│   └── VideoNotFoundError (FileNotFoundError)   nothing where the reference should be
└── CaptionError (ValueError)                    a caption, or a list of references, that cannot be used
"""


class MotionEmbeddingError(Exception):
    """Base class of what can go wrong with embeddings, models, the Hub, reference videos and training."""


class UnsupportedModelError(MotionEmbeddingError, TypeError):
    """The package has no table entry for the class of the model, or of any model of the pipeline."""


class TargetModulesError(MotionEmbeddingError, ValueError):
    """`target_modules` matches no attention layer that mixes frames."""


class AdapterNameError(MotionEmbeddingError, ValueError):
    """No motion embedding has this adapter name, or one has it already."""


class MotionScaleError(MotionEmbeddingError, ValueError):
    """A motion scale is not a finite number, or there is not one for each adapter."""


class IncompatibleEmbeddingError(MotionEmbeddingError, ValueError):
    """The embedding is sound but does not fit the model's class, layers or widths, or the number of frames."""


class EmbeddingFileError(MotionEmbeddingError, ValueError):
    """The file is damaged, or is something other than a motion embedding."""


class EmbeddingNotFoundError(MotionEmbeddingError, FileNotFoundError):
    """There is no motion embedding at the given place."""


class EmbeddingAccessError(MotionEmbeddingError, PermissionError):
    """The Hub refuses the repository to this user."""


class EmbeddingDownloadError(MotionEmbeddingError, ConnectionError):
    """The embedding is on the Hub but could not be downloaded."""


class EmbeddingUploadError(MotionEmbeddingError, ConnectionError):
    """The embedding could not be uploaded; what was saved on this machine is complete."""


class MissingLayersError(MotionEmbeddingError, RuntimeError):
    """The model was rebuilt without layers that a loaded embedding adapts."""


class DividedClipError(MotionEmbeddingError, ValueError):
    """An attention layer does not receive the whole clip, because something else divides it."""


class CheckpointError(MotionEmbeddingError, ValueError):
    """A checkpoint is missing, damaged, or from another run."""


class FeaturesError(MotionEmbeddingError, ValueError):
    """Kept text features are damaged or of something else, or what a pipeline gives its model cannot be kept."""


class NotFiniteError(MotionEmbeddingError, ArithmeticError):
    """A VAE or a model produced infinite numbers or NaN."""


class TrainingDivergedError(NotFiniteError):
    """The loss or the embedding no longer holds finite numbers only."""


class VideoError(MotionEmbeddingError, ValueError):
    """The reference video cannot be read, or is too short or too small for what was asked."""


class VideoNotFoundError(VideoError, FileNotFoundError):
    """There is no reference video at the given place."""


class CaptionError(MotionEmbeddingError, ValueError):
    """The text that describes a reference, or a list of references, is missing or cannot be read."""
