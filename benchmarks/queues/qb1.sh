. /work/wt/env.sh
$P -m $T.train_wan_vae --initial_weights $O/wvae-enc --output_dir $O/wvae-dec --parts decoder --max_train_steps 1000 > $L/wdec.log 2>&1
$P -m $T.straighten_vae --vae $O/wvae-dec --output_dir $O/wvae-s1 --pipelines $O/wan-7 --num_clips 64 --max_train_steps 3000 > $L/ws1.log 2>&1
