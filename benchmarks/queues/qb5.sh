. /work/wt/env.sh
while pgrep -f "base-wan-s2.json|output_dir $O/wvae-s2" >/dev/null; do sleep 2; done
$P -m $T.train_wan_i2v --vae $O/wvae-s2 --initial_weights $O/wan-9 --output_dir $O/i2v-1 --muon --learning_rate 1e-3 --max_train_steps 700 --lr_decay_steps 450 --checkpointing_steps 100 > $L/i2v.log 2>&1
