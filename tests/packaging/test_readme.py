"""The README's code runs, on the embedded model."""

from diffusers import UNet3DConditionModel
from PIL import Image

from tests.helpers import TINY_T2V
from tests.packaging.fresh_install import readme_code


def test_the_code_of_the_readme(tmp_path, monkeypatch, embedding_folder):
    (tmp_path / "tiny-t2v").symlink_to(TINY_T2V)
    embedding_folder(UNet3DConditionModel.from_pretrained(TINY_T2V / "unet"), name="skateboard-motion")
    monkeypatch.chdir(tmp_path)
    exec(readme_code(), {})
    assert Image.open("panda.gif").n_frames == 4
