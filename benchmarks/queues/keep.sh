# keep.sh VAE WAN_VAE: copies trained models into the branch's examples, in float16
cd /work/wt/place
O=/work/main/outputs
put() { for c in unet transformer text_encoder; do [ -d "$1/$c" ] && rm -rf examples/$2/$c && cp -r $1/$c examples/$2/; done; cp $1/model_index.json examples/$2/; }
put $O/t2v-9 tiny-t2v; put $O/ad-8 tiny-animatediff; put $O/wan-9 tiny-wan
/work/main/.venv/bin/python - $1 $2 2>/dev/null <<'PY'
import sys
from diffusers import AutoencoderKL, AutoencoderKLWan
O = "/work/main/outputs/"
for cls, v, models in ((AutoencoderKL, sys.argv[1], ("tiny-t2v", "tiny-animatediff")), (AutoencoderKLWan, sys.argv[2], ("tiny-wan", "tiny-wan-i2v"))):
    vae = cls.from_pretrained(O + v).half()
    vae.register_to_config(_name_or_path="")
    for m in models:
        vae.save_pretrained("examples/" + m + "/vae")
PY
chmod 644 examples/tiny-*/*/*.safetensors
git status --short | head -30; du -sh examples/tiny-*/
