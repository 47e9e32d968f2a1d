. /work/wt/env.sh
while ! grep -q "20[1-9]/700" $L/i2v.log; do sleep 2; done
pkill -f qb5.sh; pkill -f "output_dir $O/i2v-1"
$P -m $T.straighten_vae --vae $O/wvae-s2 --output_dir $O/wvae-s3 --pipelines $O/wan-9 --num_clips 96 --seed 1 --max_train_steps 2000 > $L/ws3.log 2>&1
mkdir -p $O/wan-9/vae; cp $O/wvae-s3/config.json $O/wvae-s3/*.safetensors $O/wan-9/vae/
$P -m $T.evaluate_base --pretrained_model_name_or_path $O/wan-9 --num_objects 1 --num_clips 96 --batch_size 4 --output $O/base-wan-s3.json > $L/base-wan-s3.log 2>&1
