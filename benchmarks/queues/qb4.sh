. /work/wt/env.sh
$P -m $T.straighten_vae --vae $O/wvae-s1 --output_dir $O/wvae-s2 --pipelines $O/wan-9 --num_clips 96 --max_train_steps 2000 > $L/ws2.log 2>&1
cp $O/wvae-s2/config.json $O/wvae-s2/*.safetensors $O/wan-9/vae/
$P -m $T.evaluate_base --pretrained_model_name_or_path $O/wan-9 --num_objects 1 --num_clips 96 --batch_size 4 --output $O/base-wan-s2.json > $L/base-wan-s2.log 2>&1
