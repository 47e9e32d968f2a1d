"""The training loop's state and its one step."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from diffusers.models.modeling_utils import ModelMixin
from diffusers.optimization import get_scheduler
from torch import Tensor, nn

from diffusers_motion_embed.adapter.registry import registry_of
from diffusers_motion_embed.architectures.conditioning import Conditioning, batches
from diffusers_motion_embed.architectures.noising import Noising
from diffusers_motion_embed.config import PARTS
from diffusers_motion_embed.errors import CheckpointError, TrainingDivergedError
from diffusers_motion_embed.functional import Debias
from diffusers_motion_embed.storage.embedding import EmbeddingTensors
from diffusers_motion_embed.training.config import TrainingConfig
from diffusers_motion_embed.training.losses import LOSSES, base_loss
from diffusers_motion_embed.training.sampling import Samples, draw_samples
from diffusers_motion_embed.training.units import in_units, measure_units


NOISE_BINS = 4  # of the range of noise levels, in which losses are told apart
HASHED = {"references": "other references, prompts or sizes", "layers": "other layers or shapes"}  # in words
PROBE = 1 << 40  # number of the probe's first sample, which no run comes to


class Optimization:
    """An embedding that is being trained: its tensors, the optimizer, and how many steps are done.

    Args:
        model: Carries the embedding, active and without weight gradients.
        noising: How noise is added to clips for the model.
        clips: Scaled latents of the references, (clips, channels, frames, height, width).
        conditionings: The model's other inputs, one for each clip.
        frame_conditionings: The same for single frames of the clips, which the hybrid loss trains on too.
        tensors: The embedding, which requires gradients.
        spatial: Parameters of the LoRA that the hybrid loss also trains, by name; empty for other losses.
        config: Options of the run.
        accelerator: The `Accelerator` that shares every step among its processes; None for one process.
        debias: The mode through which the model's layers add the value part.
    """

    def __init__(
        self,
        model: ModelMixin,
        noising: Noising,
        clips: Tensor,
        conditionings: list[Conditioning],
        frame_conditionings: list[Conditioning],
        tensors: EmbeddingTensors,
        spatial: dict[str, Tensor],
        config: TrainingConfig,
        accelerator: Any = None,
        debias: Debias = "identity",
    ) -> None:
        self.model, self.config, self.accelerator, self.debias = model, config, accelerator, debias
        self.tensors, self.spatial = tensors, spatial
        self.noising, self.clips = noising, clips.to(model.dtype)
        self.conditionings, self.frame_conditionings = conditionings, frame_conditionings
        self.num_processes = accelerator.num_processes if accelerator else 1
        self.process_index = accelerator.process_index if accelerator else 0
        self.device = clips.device.type
        self.dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(config.mixed_precision)
        learned = [part for part in PARTS if config.learning_rate_of(part) > 0]
        groups: list[dict[str, Any]] = [
            {
                "params": [parts[part] for parts in tensors.values() if part in parts],
                "lr": config.learning_rate_of(part),
                "weight_decay": 0.0 if part == "p" else config.weight_decay,  # no place is nearer to none than another
            }
            for part in learned
        ]
        self.parameters = [parameter for group in groups for parameter in group["params"]]
        parts_qk = [parts["qk"] for parts in tensors.values() if "qk" in parts]
        self.centered = parts_qk if config.center_qk else []
        groups.append({"params": list(spatial.values()), "lr": config.spatial_learning_rate})
        groups = [group for group in groups if group["params"]]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        self.schedule = get_scheduler(
            config.lr_scheduler,
            self.optimizer,
            num_warmup_steps=config.lr_warmup_steps,
            num_training_steps=config.max_train_steps,
        )
        self.scaler = self._new_scaler()
        self.step_number = 0
        self._sums = torch.zeros(3, NOISE_BINS, device=clips.device)  # of losses, samples, samples that are left out
        units = measure_units(model, tensors, (clips.shape[3], clips.shape[4]), self._look_at_samples)
        self.units = [parts[part] for part in learned for parts in units.values() if part in parts]

    def step(self) -> None:
        """One optimizer step."""
        passes = self.config.gradient_accumulation_steps
        for number in range(passes):
            samples = self._draw(number)
            prediction, target = self._predict(samples)
            self._note(samples, prediction, target)
            self._backward(self._loss(samples, prediction, target) / passes, self.parameters)
            if self.spatial:
                self._backward(self._spatial_loss(samples) / passes, list(self.spatial.values()))
        trained = [*self.parameters, *self.spatial.values()]
        self._average_gradients(trained)
        _center([parameter.grad for parameter in self.centered])
        with in_units(self.parameters, self.units):
            if self.config.max_grad_norm is not None:
                self.scaler.unscale_(self.optimizer)
                nn.utils.clip_grad_norm_(trained, self.config.max_grad_norm)
            self.scaler.step(self.optimizer)
        _center(self.centered)
        self.scaler.update()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.step_number += 1

    @torch.no_grad()
    def probe(self) -> float:
        """The mean loss on as many samples as a step has. They are the same at every call, and never trained on."""
        loss = torch.stack([self._loss(each, *self._predict(each)) for each in self._probe_samples()]).mean()
        return (self.accelerator.reduce(loss, "mean") if self.num_processes > 1 else loss).item()

    def trained(self) -> dict[str, Tensor]:
        """Copies of what is trained, by name, on the CPU."""
        return {name: parameter.detach().to("cpu", copy=True) for name, parameter in self._named_parameters()}

    @torch.no_grad()
    def take(self, trained: dict[str, Tensor]) -> None:
        """Go on from what `trained` gave at an earlier step. The optimizer begins anew, the logs with the probe."""
        for name, parameter in self._named_parameters():
            parameter.copy_(trained[name])
        self.optimizer.state.clear()
        self.scaler = self._new_scaler()
        self.forget_logs()
        for samples in self._probe_samples():
            self._note(samples, *self._predict(samples))

    def slow_down(self, factor: float) -> None:
        """Divide the learning rates of all further steps by `factor`."""
        self.schedule.base_lrs = [rate / factor for rate in self.schedule.base_lrs]
        for group in self.optimizer.param_groups:
            group["lr"] /= factor
            group["initial_lr"] /= factor

    def logs(self) -> dict[str, float]:
        """Figures of the steps since `forget_logs`; reading them waits for the device.

        Returns:
            "loss", the mean squared error of the prediction; the same by noise level, "loss_noise_0.50_0.62";
            "learning_rate"; "qk_size", "v_size" and "p_size", the root mean squares of the embedding's parts.

        Raises:
            TrainingDivergedError: If the loss or the embedding is not finite.
        """
        losses, counts, left_out = self._sums.tolist()
        low, high = self.config.timestep_range
        edges = np.linspace(low, high, NOISE_BINS + 1)
        mean_loss = math.inf if sum(left_out) and not sum(counts) else sum(losses) / max(sum(counts), 1)
        logs = {"loss": mean_loss, "learning_rate": self.optimizer.param_groups[0]["lr"]}
        for start, end, loss, count in zip(edges[:-1], edges[1:], losses, counts, strict=True):
            if count:
                logs[f"loss_noise_{start:.2f}_{end:.2f}"] = loss / count
        for part in PARTS:
            values = [parts[part].detach().square().mean() for parts in self.tensors.values() if part in parts]
            if values:
                logs[f"{part}_size"] = torch.stack(values).mean().sqrt().item()
        broken = [name for name, value in logs.items() if not math.isfinite(value)]
        if broken:
            raise TrainingDivergedError(
                f"{broken[0]} became {logs[broken[0]]} at step {self.step_number}. Lower learning_rate "
                f"({self.config.learning_rate}), or use another mixed_precision ({self.config.mixed_precision})."
            )
        return logs

    def forget_logs(self) -> None:
        """Restart the count for `logs`."""
        self._sums.zero_()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that another object needs to go on, as tensors and as JSON values."""
        optimizer = self.optimizer.state_dict()
        tensors = {f"trained.{name}": parameter for name, parameter in self._named_parameters()}
        for index, values in optimizer["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
        values = {
            "step": self.step_number,
            "param_groups": optimizer["param_groups"],
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "run": self._run(),
        }
        return tensors, values

    def load_state(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises:
            CheckpointError: If it comes from a run with other options, references or layers.
        """
        run, other = self._run(), values["run"]
        different = sorted(key for key in run.keys() | other.keys() if run.get(key) != other.get(key))
        if different:
            raise CheckpointError(
                "The checkpoint is of a run with other settings: "
                + ", ".join(
                    HASHED.get(key) or f"{key} {other.get(key)!r} there, {run.get(key)!r} here" for key in different
                )
                + ". Give the same ones, or begin anew."
            )
        with torch.no_grad():
            for name, parameter in self._named_parameters():
                parameter.copy_(tensors[f"trained.{name}"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                state.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict({"state": state, "param_groups": values["param_groups"]})
        self.schedule.load_state_dict(values["schedule"])
        self.scaler.load_state_dict(values["scaler"])
        self.step_number = values["step"]

    def _new_scaler(self) -> torch.amp.GradScaler:
        # Half-precision gradients underflow without scaling, whether half comes from autocast or from the weights.
        return torch.amp.GradScaler(self.device, enabled=torch.float16 in (self.dtype, self.model.dtype))

    def _draw(self, pass_number: int) -> Samples:
        pass_number += self.step_number * self.config.gradient_accumulation_steps
        return self._samples((pass_number * self.num_processes + self.process_index) * self.config.train_batch_size)

    def _samples(self, first: int) -> Samples:
        """Those of one pass, with the numbers from `first` on."""
        return draw_samples(self.config, first, self.config.train_batch_size, len(self.clips), self.clips.shape[1:])

    def _probe_samples(self) -> Iterator[Samples]:
        for number in range(self.config.gradient_accumulation_steps):
            yield self._samples(PROBE + number * self.config.train_batch_size)

    def _look_at_samples(self) -> None:
        """Run the model on the samples of the first step, which are the same in every process."""
        for number in range(self.config.gradient_accumulation_steps):
            self._predict(self._samples(number * self.config.train_batch_size))

    def _predict(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """What the model predicts for the clips, and what it should."""
        return self._denoise(self.clips[samples.clips], samples.noise, samples, self.conditionings)

    def _loss(self, samples: Samples, prediction: Tensor, target: Tensor) -> Tensor:
        loss = LOSSES[self.config.loss]
        return loss.function(prediction, target, *([samples.frames] if loss.takes_anchors else []))

    def _spatial_loss(self, samples: Samples) -> Tensor:
        """The base loss on one frame of each clip, without the embedding (arXiv 2310.08465)."""
        chosen = torch.arange(len(samples.clips))
        latents = self.clips[samples.clips, :, samples.frames].unsqueeze(2)
        noise = samples.noise[chosen, :, samples.frames].unsqueeze(2)
        with registry_of(self.model).silenced():
            return base_loss(*self._denoise(latents, noise, samples, self.frame_conditionings))

    def _denoise(
        self, latents: Tensor, noise: Tensor, samples: Samples, conditionings: list[Conditioning]
    ) -> tuple[Tensor, Tensor]:
        noisy, timesteps, target = self.noising.add_noise(latents, noise.to(latents), samples.levels)
        predictions: dict[int, Tensor] = {}
        for numbers, conditioning in batches([conditionings[clip] for clip in samples.clips.tolist()]):
            given = conditioning.given_frames(latents.shape[2])[:, None, None]
            inputs = conditioning.inputs(torch.where(given, latents[numbers], noisy[numbers]), timesteps[numbers])
            with torch.autocast(self.device, self.dtype, enabled=self.dtype is not None):
                output = self.model(**inputs)
            prediction = conditioning.prediction(output, latents[numbers])
            predictions |= zip(numbers, torch.where(given, target[numbers], prediction), strict=True)
        return torch.stack([predictions[number] for number in range(len(latents))]), target

    @torch.no_grad()
    def _note(self, samples: Samples, prediction: Tensor, target: Tensor) -> None:
        losses = (prediction.float() - target.float()).square().mean((1, 2, 3, 4))
        low, high = self.config.timestep_range
        bins = ((samples.levels - low) / (high - low) * NOISE_BINS).long().clamp(0, NOISE_BINS - 1)
        bins = bins.to(losses.device)
        # A scaler leaves the step of a sample out that overflows, and lowers its scale.
        counts = losses.isfinite() if self.scaler.is_enabled() else torch.ones_like(losses, dtype=torch.bool)
        for sums, values in zip(
            self._sums, (losses.where(counts, 0.0), counts.float(), (~counts).float()), strict=True
        ):
            sums.index_add_(0, bins, values)

    def _backward(self, loss: Tensor, parameters: list[Tensor]) -> None:
        self.scaler.scale(loss).backward(inputs=parameters)

    def _average_gradients(self, parameters: list[Tensor]) -> None:
        if self.num_processes > 1:
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            mean = self.accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
            for gradient, part in zip(gradients, mean.split([each.numel() for each in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))

    def _named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        for path, parts in self.tensors.items():
            for part, tensor in parts.items():
                yield f"{path}.{part}", tensor
        yield from self.spatial.items()

    def _run(self) -> dict[str, Any]:
        """Everything that two runs must have in common if one is to go on from the other."""
        digest = hashlib.sha256()
        for tensor in (self.clips, *(tensor for each in self.conditionings for tensor in each.tensors())):
            digest.update(tensor.float().cpu().numpy().tobytes())
        shapes = {name: list(parameter.shape) for name, parameter in self._named_parameters()}
        options = json.loads(json.dumps(asdict(self.config)))
        if self.config.lr_scheduler.startswith("constant"):
            del options["max_train_steps"]  # a run may be made longer, unless that changes the steps before
        return {
            **options,
            "num_processes": self.num_processes,
            "references": digest.hexdigest(),
            "layers": hashlib.sha256(json.dumps(shapes).encode()).hexdigest(),
            "debias": self.debias,
        }


@torch.no_grad()
def _center(parts: Sequence[Tensor | None]) -> None:
    """Take from each part, (..., f, c), its mean over the frames."""
    for part in parts:
        if part is not None:
            part -= part.mean(dim=-2, keepdim=True)
