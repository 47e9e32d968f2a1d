. /work/wt/env.sh
$P -m $T.straighten_vae --vae $O/wvae-s3 --output_dir $O/wvae-s4 --pipelines $O/wan-9 --num_clips 48 --seed 2 --max_train_steps 900 > $L/ws4.log 2>&1
