. /work/wt/env.sh
while pgrep -f "output $O/base-animatediff-s2" >/dev/null; do sleep 2; done
$P -m $T.train_unet --vae $O/vae-s2 --initial_weights $O/t2v-7 --output_dir $O/t2v-8 --muon --learning_rate 1.5e-3 --stills_every 8 --max_train_steps 1400 --lr_decay_steps 900 --checkpointing_steps 100 > $L/t2v8.log 2>&1
