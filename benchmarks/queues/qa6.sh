. /work/wt/env.sh
$P -m $T.straighten_vae --vae $O/vae-s4 --output_dir $O/vae-s5 --pipelines $O/t2v-9 $O/ad-8 --num_clips 40 --seed 1 --max_train_steps 1500 > $L/s5.log 2>&1
