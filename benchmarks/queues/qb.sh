. /work/wt/env.sh
while pgrep -f "output_dir /work/main/outputs/wan-7" >/dev/null; do sleep 3; done
$P -m $T.train_wan_vae --initial_weights examples/tiny-wan/vae --output_dir $O/wvae-enc --parts encoder --max_train_steps 2000 > $L/wenc.log 2>&1
$P -m $T.train_wan_vae --initial_weights $O/wvae-enc --output_dir $O/wvae-dec --parts decoder --max_train_steps 1000 > $L/wdec.log 2>&1
$P -m $T.straighten_vae --vae $O/wvae-dec --output_dir $O/wvae-s1 --pipelines $O/wan-7 --num_clips 64 --max_train_steps 2500 > $L/ws1.log 2>&1
