. /work/wt/env.sh
$P -m $T.train_unet --vae $O/vae-s3 --initial_weights $O/t2v-8 --output_dir $O/t2v-9 --muon --learning_rate 2e-3 --stills_every 8 --max_train_steps 1200 --lr_decay_steps 900 --checkpointing_steps 100 > $L/t2v9.log 2>&1
