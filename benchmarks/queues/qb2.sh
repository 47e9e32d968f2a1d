. /work/wt/env.sh
while pgrep -f "output_dir $O/wvae-s1" >/dev/null; do sleep 2; done
rm -rf $O/wan-8; cp -r $O/wan-7 $O/wan-8; rm -f $O/wan-8/checkpoint.pt $O/wan-8/vae/*; cp $O/wvae-s1/config.json $O/wvae-s1/*.safetensors $O/wan-8/vae/
$P -m $T.evaluate_base --pretrained_model_name_or_path $O/wan-8 --num_objects 1 --num_clips 48 --batch_size 4 --output $O/base-wan-s1.json > $L/base-wan.log 2>&1
$P -m $T.train_animatediff --vae $O/vae-s2 --initial_weights $O/ad-7 --output_dir $O/ad-8 --muon --learning_rate 1.5e-3 --stills_every 8 --max_train_steps 1100 --lr_decay_steps 700 --checkpointing_steps 100 > $L/ad8.log 2>&1
