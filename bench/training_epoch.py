"""An epoch of training in FP32: libqmd (oneDNN) beside PyTorch, images of 49x49x3, batches of 16, two threads."""

import ctypes
import time

import numpy as np
import torch

import peer_networks
import qmd
from qmd import _c

SIDE, BATCH, N_IMAGES, N_THREADS, N_ROUNDS = 49, 16, 320, 2, 5


def seconds_of_libqmd(images, labels):
    """The second epoch of two: what a training begins with is not part of it."""
    steps = []

    def progress(_phase, done, _total, _loss, _accuracy):
        steps.append((done, time.perf_counter()))

    model = qmd.Model.preset("icnnmd", SIDE, 2)
    options = _c.TrainOptions(epochs=2, target_loss=0, batch_size=BATCH, n_threads=N_THREADS)
    with _c.ProgressCall(progress) as options.progress:
        peer_networks.call("qmd_train_images", ctypes.c_void_p(model._pointer), ctypes.c_void_p(images.ctypes.data), _c.S8,
                           ctypes.c_void_p(labels.ctypes.data), ctypes.c_size_t(len(images)), ctypes.byref(options))
    at = dict(steps)
    return at[2 * N_IMAGES // BATCH] - at[N_IMAGES // BATCH]


def torch_network():
    nn = torch.nn
    flat = 64 * (((SIDE - 2) // 2 - 2) // 2) ** 2
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(flat, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 2))


class TorchTraining:
    """Adam in one kernel; channels last or not, whichever is faster."""

    def __init__(self, images, labels, memory_format):
        self.images = (torch.from_numpy(images).float() / 127).permute(0, 3, 1, 2).contiguous(memory_format=memory_format)
        self.labels = torch.from_numpy(labels.astype(np.int64))
        self.network = torch_network().to(memory_format=memory_format)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 3e-4, fused=True)
        self.loss = torch.nn.CrossEntropyLoss()

    def epoch(self):
        torch.set_num_threads(N_THREADS)
        start = time.perf_counter()
        order = torch.randperm(N_IMAGES)
        for first in range(0, N_IMAGES, BATCH):
            chosen = order[first:first + BATCH]
            self.optimizer.zero_grad()
            self.loss(self.network(self.images[chosen]), self.labels[chosen]).backward()
            self.optimizer.step()
        return time.perf_counter() - start


def bench():
    images = peer_networks.noise("s8", N_IMAGES, SIDE)
    labels = (np.arange(N_IMAGES) % 2).astype(np.uint32)
    peers = {"PyTorch": TorchTraining(images, labels, torch.contiguous_format),
             "PyTorch, channels last": TorchTraining(images, labels, torch.channels_last)}
    for peer in peers.values():
        peer.epoch()
    times = {"libqmd": [], **{name: [] for name in peers}}
    for _ in range(N_ROUNDS):
        times["libqmd"].append(seconds_of_libqmd(images, labels))
        for name, peer in peers.items():
            times[name].append(peer.epoch())
    return {name: {"median_s": float(np.median(values)), "least_s": min(values), "most_s": max(values)}
            for name, values in times.items()}


def text(result):
    lines = [f"an epoch of training: {N_IMAGES} images of {SIDE}x{SIDE}x3, batches of {BATCH}, {N_THREADS} threads, "
             f"median of {N_ROUNDS}"]
    for name, row in result.items():
        lines.append(f"  {name:24} {row['median_s']:7.3f} s  ({row['least_s']:.3f} to {row['most_s']:.3f})")
    return "\n".join(lines)
