. /work/wt/env.sh
while pgrep -f "output_dir /work/main/outputs/vae-dec" >/dev/null; do sleep 3; done
$P -m $T.straighten_vae --vae $O/vae-dec --output_dir $O/vae-s1 --max_train_steps 1500 > $L/s1.log 2>&1
$P -m $T.train_unet --vae $O/vae-s1 --initial_weights examples/tiny-t2v --output_dir $O/t2v-7 --muon --learning_rate 2e-3 --stills_every 4 --max_train_steps 700 --lr_decay_steps 250 --checkpointing_steps 100 > $L/t2v.log 2>&1
$P -m $T.straighten_vae --vae $O/vae-s1 --output_dir $O/vae-s2 --pipelines $O/t2v-7 --num_clips 64 --max_train_steps 1500 > $L/s2.log 2>&1
