import sys, numpy as np
from diffusers import DPMSolverMultistepScheduler, DDIMScheduler
import benchmarks.tiny_world.pipelines as tp
from benchmarks.tiny_world.evaluate_base import prompts_of, measured, camera_figures, camera_extent, text_fidelity
tp.use_one_thread()
folder, n, seed, steps, sched = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
pipe = tp.load_tiny_pipeline(folder)
tp.GENERATION["num_inference_steps"] = steps
if sched != "ddim":
    kw = dict(order1=dict(solver_order=1), beta=dict(solver_order=1, use_beta_sigmas=True), beta2=dict(solver_order=2, use_beta_sigmas=True), o2=dict(solver_order=2))[sched]
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, **kw)
pipe.scheduler.set_timesteps(steps); print(sched, steps, pipe.scheduler.timesteps.tolist(), flush=True)
m = measured(pipe, prompts_of(1, n, seed), 4, seed)
f = text_fidelity(m)
print(sched, steps, {k: round(float(f[k]),3) for k in ("pattern","right","every_frame","flicker")}, camera_figures(camera_extent(s.camera) for s in m), flush=True)
