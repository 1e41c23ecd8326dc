"""PyTorch in FP16 as peers of gpu_peers.py: channels last, eager, by torch.compile with CUDA graphs, or as one CUDA graph."""

import time

import numpy as np
import onnx
import torch

import gpu_times
import peer_networks
import peer_runtimes

DEVICE = "cuda"
N_WARM_UP = 20


def captured(run):
    """run() as a CUDA graph that was called before, as capturing asks for: a function that replays it."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = run()

    def replay():
        graph.replay()
        return output

    return replay


class Clock:
    """The GPU's clock at n places of what a stream does."""

    def __init__(self, n):
        self.events = [torch.cuda.Event(enable_timing=True) for _ in range(n)]

    def mark(self, place):
        self.events[place].record()

    def ms(self):
        """Between each place and the next, when all is done."""
        torch.cuda.synchronize()
        return [start.elapsed_time(end) for start, end in zip(self.events, self.events[1:])]


class Batch:
    """Images in page-locked memory to the GPU, through a network, and logits back."""

    def __init__(self, images, make_run):
        self.images = images.half().contiguous(memory_format=torch.channels_last).pin_memory()
        self.input = self.images.to(DEVICE)
        self.run = make_run(self.input)
        self.logits = torch.empty(self.run().shape, dtype=torch.half).pin_memory()

    def step(self, mark=lambda place: None):
        mark(0)
        self.input.copy_(self.images, non_blocking=True)
        mark(1)
        logits = self.run()
        mark(2)
        self.logits.copy_(logits, non_blocking=True)
        mark(3)

    def times(self, repeats):
        """As `qmd bench` does: each repeat once as a whole, by wall clock, and once in parts."""
        clock, rows = Clock(4), []
        for _ in range(N_WARM_UP + repeats):
            torch.cuda.synchronize()
            start = time.perf_counter()
            self.step()
            torch.cuda.synchronize()
            total = 1e3 * (time.perf_counter() - start)
            self.step(clock.mark)
            rows.append([*clock.ms(), total])
        return dict(zip(gpu_times.PARTS, map(gpu_times.summarize, np.transpose(rows[N_WARM_UP:]))))


class PyTorch:
    def __init__(self, path, image_shape, how):
        if not torch.cuda.is_available():
            raise RuntimeError("PyTorch finds no GPU")
        torch.backends.cudnn.benchmark = True
        torch._dynamo.config.recompile_limit = 64  # a program for each batch
        self.side, self.how, self.batches = image_shape[-1], how, {}
        self.names = [node.name for node in onnx.load(path).graph.node]
        self.network = peer_runtimes.module_of(path).half().to(DEVICE, memory_format=torch.channels_last)
        self.compiled = torch.compile(self.network, mode="reduce-overhead", dynamic=False, fullgraph=True)
        self.check(peer_runtimes.module_of(path))

    def images(self, batch):
        images = peer_networks.reals(peer_networks.noise("s8", batch, self.side))
        return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))

    def make_run(self, images):
        if self.how == "graph":
            return captured(lambda: self.network(images))
        network = self.network if self.how == "eager" else self.compiled
        return lambda: network(images)

    def batch(self, n):
        if n not in self.batches:
            self.batches[n] = Batch(self.images(n), self.make_run)
        return self.batches[n]

    @torch.inference_mode()
    def check(self, fp32):
        """On the GPU it computes what the same network does in FP32 on the CPU, up to the error of FP16."""
        batch = self.batch(8)
        batch.step()
        torch.cuda.synchronize()
        expected = fp32(self.images(8))
        error = float((batch.logits.float() - expected).abs().max() / expected.abs().max())
        if not error < 0.1:
            raise RuntimeError(f"it computes something else: error {error:.3f} of the largest logit")

    @torch.inference_mode()
    def measure(self, batches, repeats):
        return {n: self.batch(n).times(repeats) for n in batches}

    @torch.inference_mode()
    def layers(self, batch, repeats):
        """Each module as a CUDA graph of its own."""
        x, result = self.batch(batch).input, []
        for name, module in zip(self.names, self.network):
            replay, clock = captured(lambda: module(x)), Clock(2)
            times = []
            for _ in range(N_WARM_UP + repeats):
                clock.mark(0)
                y = replay()
                clock.mark(1)
                times += clock.ms()
            result.append((name, float(np.median(times[N_WARM_UP:]))))
            x = y
        return result
