. /work/wt/env.sh
while pgrep -f "output_dir $O/t2v-8" >/dev/null; do sleep 2; done
$P -m $T.train_wan --vae $O/wvae-s1 --initial_weights $O/wan-7 --output_dir $O/wan-9 --muon --learning_rate 1.5e-3 --stills_every 6 --max_train_steps 1000 --lr_decay_steps 700 --checkpointing_steps 100 > $L/wan9.log 2>&1
$P -m $T.train_wan_i2v --vae $O/wvae-s1 --initial_weights $O/wan-9 --output_dir $O/i2v-1 --muon --learning_rate 1e-3 --max_train_steps 800 --lr_decay_steps 500 --checkpointing_steps 100 > $L/i2v.log 2>&1
