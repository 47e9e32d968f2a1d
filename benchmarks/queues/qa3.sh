. /work/wt/env.sh
while pgrep -f "output_dir /work/main/outputs/ad-7" >/dev/null; do sleep 3; done
rm -rf $O/vae-s2
$P -m $T.straighten_vae --vae $O/vae-s1 --output_dir $O/vae-s2 --pipelines $O/t2v-7 $O/ad-7 --num_clips 48 --max_train_steps 1500 > $L/s2.log 2>&1
