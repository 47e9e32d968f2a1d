"""Reference videos as users have them: files, animated pictures and folders of pictures, as a player shows them."""

from diffusers_motion_embed.video.reading import ReferenceClip, read_reference, read_video


__all__ = ["ReferenceClip", "read_reference", "read_video"]
