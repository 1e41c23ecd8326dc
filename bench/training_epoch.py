#!/usr/bin/env python3
"""An epoch of training in FP32, images of 49x49x3, batches of 16: libqmd (oneDNN) beside PyTorch on two threads, for peers.py;
or libqmd on a GPU beside the CPU:

    bench/training_epoch.py [--device cuda] [--threads 16]        # QMD_LIBRARY: a libqmd with CUDA and cuDNN

**It has not run on a GPU yet.**
"""

import argparse
import ctypes
import time

import numpy as np

import peer_networks
import qmd
from qmd import _c

SIDE, BATCH, N_IMAGES, N_THREADS, N_ROUNDS = 49, 16, 320, 2, 5


def seconds_of_libqmd(images, labels, device="cpu", n_threads=N_THREADS):
    """The second epoch of two: what a training begins with is not part of it."""
    steps = []

    def progress(_phase, done, _total, _loss, _accuracy):
        steps.append((done, time.perf_counter()))

    model = qmd.Model.preset("icnnmd", SIDE, 2)
    options = _c.TrainOptions(epochs=2, target_loss=0, batch_size=BATCH, n_threads=n_threads, device=device)
    with _c.ProgressCall(progress) as options.progress:
        peer_networks.call("qmd_train_images", ctypes.c_void_p(model._pointer), ctypes.c_void_p(images.ctypes.data), _c.S8,
                           ctypes.c_void_p(labels.ctypes.data), ctypes.c_size_t(len(images)), ctypes.byref(options))
    at = dict(steps)
    return at[2 * N_IMAGES // BATCH] - at[N_IMAGES // BATCH]


def torch_network():
    from torch import nn

    flat = 64 * (((SIDE - 2) // 2 - 2) // 2) ** 2
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(flat, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 2))


class TorchTraining:
    """Adam in one kernel; channels last or not, whichever is faster."""

    def __init__(self, images, labels, memory_format):
        import torch

        self.images = (torch.from_numpy(images).float() / 127).permute(0, 3, 1, 2).contiguous(memory_format=memory_format)
        self.labels = torch.from_numpy(labels.astype(np.int64))
        self.network = torch_network().to(memory_format=memory_format)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 3e-4, fused=True)
        self.loss = torch.nn.CrossEntropyLoss()

    def epoch(self):
        import torch

        torch.set_num_threads(N_THREADS)
        start = time.perf_counter()
        order = torch.randperm(N_IMAGES)
        for first in range(0, N_IMAGES, BATCH):
            chosen = order[first:first + BATCH]
            self.optimizer.zero_grad()
            self.loss(self.network(self.images[chosen]), self.labels[chosen]).backward()
            self.optimizer.step()
        return time.perf_counter() - start


def draw():
    return peer_networks.noise("s8", N_IMAGES, SIDE), (np.arange(N_IMAGES) % 2).astype(np.uint32)


def summary(times):
    return {name: {"median_s": float(np.median(values)), "least_s": min(values), "most_s": max(values)}
            for name, values in times.items()}


def bench():
    import torch

    images, labels = draw()
    peers = {"PyTorch": TorchTraining(images, labels, torch.contiguous_format),
             "PyTorch, channels last": TorchTraining(images, labels, torch.channels_last)}
    for peer in peers.values():
        peer.epoch()
    times = {"libqmd": [], **{name: [] for name in peers}}
    for _ in range(N_ROUNDS):
        times["libqmd"].append(seconds_of_libqmd(images, labels))
        for name, peer in peers.items():
            times[name].append(peer.epoch())
    return summary(times)


def bench_devices(device, n_threads):
    """The CPU and a device, in turns."""
    images, labels = draw()
    times = {f"cpu, {n_threads} threads": [], device: []}
    for _ in range(N_ROUNDS):
        for name, values in times.items():
            values.append(seconds_of_libqmd(images, labels, "cpu" if name.startswith("cpu") else device, n_threads))
    return summary(times)


def text(result, threads=f", {N_THREADS} threads"):
    lines = [f"an epoch of training: {N_IMAGES} images of {SIDE}x{SIDE}x3, batches of {BATCH}{threads}, median of {N_ROUNDS}"]
    for name, row in result.items():
        lines.append(f"  {name:24} {row['median_s']:7.3f} s  ({row['least_s']:.3f} to {row['most_s']:.3f})")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="An epoch of training on a device beside the CPU.")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or reference (default: cuda)")
    parser.add_argument("--threads", type=int, default=16, help="the CPU's (default: 16)")
    arguments = parser.parse_args()
    try:
        result = bench_devices(arguments.device, arguments.threads)
    except qmd.Error as error:
        raise SystemExit(f"training_epoch.py: {error}")
    print(text(result, ""))
    cpu, device = (row["median_s"] for row in result.values())
    print(f"  {arguments.device} is {cpu / device:.2f} times as fast")


if __name__ == "__main__":
    main()
