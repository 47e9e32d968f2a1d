export MALLOC_MMAP_THRESHOLD_=268435456 MALLOC_TRIM_THRESHOLD_=1073741824 MALLOC_TOP_PAD_=67108864 OMP_NUM_THREADS=1
cd /work/wt/run; P=/work/main/.venv/bin/python; O=/work/main/outputs; L=/work/wt/logs; T=benchmarks.tiny_world
export PYTHONPATH=/work/wt/run
