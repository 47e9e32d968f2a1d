# copies trained models into the branch and keeps the branch in main's history
cd /work/wt/place
put() { [ -f "$1/model_index.json" ] || return; for c in unet transformer text_encoder tokenizer scheduler vae motion_adapter; do [ -d "$1/$c" ] && rm -rf examples/$2/$c && cp -r $1/$c examples/$2/; done; cp $1/model_index.json examples/$2/; }
O=/work/main/outputs
put $O/t2v-7 tiny-t2v; put $O/ad-7 tiny-animatediff; put $O/wan-7 tiny-wan
/work/main/.venv/bin/python - 2>/dev/null <<'PY'
import os
from diffusers import AutoencoderKL
O = "/work/main/outputs/"
for v in ("vae-s2", "vae-s1"):
    if os.path.exists(O + v + "/diffusion_pytorch_model.safetensors"):
        vae = AutoencoderKL.from_pretrained(O + v).half()
        vae.register_to_config(_name_or_path="")
        for m in ("tiny-t2v", "tiny-animatediff"):
            vae.save_pretrained("examples/" + m + "/vae")
        break
PY
mkdir -p benchmarks/queues; cp /work/wt/*.sh benchmarks/queues/
git add -A; git commit -qm "${1:-Models so far}"; git log --oneline | head -1; du -sh examples/tiny-*/ 
