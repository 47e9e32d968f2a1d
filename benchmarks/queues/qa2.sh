. /work/wt/env.sh
while pgrep -f "output_dir /work/main/outputs/t2v-7" >/dev/null; do sleep 3; done
$P -m $T.train_animatediff --vae $O/vae-s1 --initial_weights examples/tiny-animatediff --output_dir $O/ad-7 --muon --learning_rate 2e-3 --stills_every 4 --max_train_steps 600 --lr_decay_steps 250 --checkpointing_steps 100 > $L/ad.log 2>&1
