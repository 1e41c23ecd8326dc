#!/usr/bin/env python3
"""What nvcc made of the CUDA kernels, without a GPU: registers, spills, calls and the instructions that each kernel is for,
on every target, against the budget in its file's contract; and the occupancy that this leaves.

Usage: check_sass.py LIBRARY CUOBJDUMP TARGET...
LIBRARY: a libqmd.so with CUDA. TARGETs: "sm_75" and so on, all of which it must hold.
"""

import fnmatch
import itertools
import os
import pathlib
import re
import subprocess
import sys

KERNELS = pathlib.Path(__file__).resolve().parents[1] / "kernels" / "cuda"

# Of a multiprocessor (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability").
REGISTERS = 65536
THREADS = {75: 1024, 80: 2048, 86: 1536, 89: 1536, 90: 2048, 100: 2048, 120: 1536}
BLOCKS = {75: 16, 80: 32, 86: 16, 89: 24, 90: 32, 100: 32, 120: 32}

# A line of a kernel's contract; NAME may hold wildcards.
BUDGET = re.compile(r"Budget: (\S+) registers<=(\d+) shared<=(\d+) spills=(\d+) calls=(\d+) needs=(\S*)")


def constants(text):
    return {name: int(value) for name, value in re.findall(r"\b(\w+_?threads) = (\d+)", text)}


def read_contracts():
    """For each kernel its launch bounds and the budget in the contract at the top of its file."""
    contracts = {}
    of_headers = {}
    for header in KERNELS.rglob("*.h"):
        of_headers.update(constants(header.read_text()))
    for path in sorted(KERNELS.rglob("*.cu")):
        text = path.read_text()
        known = {**of_headers, **constants(text)}
        budgets = BUDGET.findall(text)
        for name, threads, blocks in re.findall(r"^QMDI_CUDA_KERNEL\((\w+), (\w+), (\d+),", text, re.M):
            own = [budget for budget in budgets if fnmatch.fnmatchcase(name, budget[0])]
            assert own, f"{path.name}: no budget for {name}"
            own = max(own, key=lambda budget: len(budget[0]))  # the closest pattern
            registers, shared, spills, calls = map(int, own[1:5])
            contracts[name] = {"file": path.name, "registers": registers, "shared": shared, "spills": spills, "calls": calls,
                               "needs": [op for op in own[5].split(",") if op], "blocks": int(blocks),
                               "threads": int(threads) if threads.isdigit() else known[threads]}
    return contracts


def dump(cuobjdump, what, target, library):
    """cuobjdump calls nvdisasm, which stands beside it."""
    path = os.pathsep.join([str(pathlib.Path(cuobjdump).resolve().parent), os.environ.get("PATH", "")])
    return subprocess.run([cuobjdump, what, "-arch", target, library], stdout=subprocess.PIPE, text=True, check=True,
                          env={**os.environ, "PATH": path}).stdout


def read_usage(cuobjdump, library, target):
    text = dump(cuobjdump, "-res-usage", target, library)
    found = re.findall(r"Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", text)
    return {name: [int(n) for n in numbers] for name, *numbers in found}


def read_sass(cuobjdump, library, target):
    """The instructions of each kernel: (address, opcode, operands)."""
    parts = re.split(r"Function : (\w+)", dump(cuobjdump, "-sass", target, library))
    instruction = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ )?\s*([A-Z][\w.]*)([^;]*);")
    return {name: [(int(address, 16), op, rest) for address, op, rest in instruction.findall(body)]
            for name, body in zip(parts[1::2], parts[2::2])}


def subroutines(code):
    """How many are called. ptxas leaves loops by CALL as well: what is jumped to then does not return. Shuffles where it
    does not know that the warp is together it puts into a subroutine, which is not counted."""
    targets = {int(rest.split()[-1], 16) for _, op, rest in code if op.startswith("CALL")}
    n = 0
    for target in targets:
        body = itertools.dropwhile(lambda line: line[0] < target, code)
        body = [op for _, op, _ in itertools.takewhile(lambda line: not line[1].startswith("EXIT"), body)]
        returns = [i for i, op in enumerate(body) if op.startswith("RET")]
        n += bool(returns) and not any(op.startswith("SHFL") for op in body[:returns[0]])
    return n


def occupancy(registers, threads, number):
    """Blocks that a multiprocessor holds as far as registers and threads go; registers are given to warps by 256."""
    per_warp = -(-registers * 32 // 256) * 256
    by_registers = REGISTERS // per_warp // (threads // 32)
    return min(by_registers, THREADS[number] // threads, BLOCKS[number])


def check_kernel(contract, usage, code, number):
    registers, stack, static_shared, local = usage
    opcodes = [op for _, op, _ in code]
    n_spills = sum(op.startswith(("STL", "LDL")) for op in opcodes)
    blocks = occupancy(registers, contract["threads"], number)
    found = [("registers", registers), ("calls", subroutines(code)), ("spills", max(n_spills, stack, local)),
             ("shared", static_shared - (1024 if number >= 90 and static_shared >= 1024 else 0))]  # the system's own 1 KiB
    wrong = [f"{what} {value}, the contract says {contract[what]}" for what, value in found if value > contract[what]]
    wrong += [f"no {need}" for need in contract["needs"] if not any(op.startswith(need) for op in opcodes)]
    if blocks < contract["blocks"]:
        wrong.append(f"{blocks} blocks on a multiprocessor, launch bounds say {contract['blocks']}")
    return blocks, wrong


def main(library, cuobjdump, *targets):
    contracts = read_contracts()
    failures = []
    print(f"{'kernel':32}" + "".join(f"{target:>16}" for target in targets) + "\n" + " " * 32 +
          "".join(f"{'regs blk warps':>16}" for _ in targets))
    rows = {name: "" for name in contracts}
    for target in targets:
        number = int(re.match(r"sm_(\d+)", target)[1])
        usage, sass = read_usage(cuobjdump, library, target), read_sass(cuobjdump, library, target)
        if set(usage) != set(contracts) or set(sass) != set(contracts):
            failures.append(f"{target}: kernels {sorted(set(usage) ^ set(contracts))}")
            continue
        for name, contract in contracts.items():
            blocks, wrong = check_kernel(contract, usage[name], sass[name], number)
            failures += [f"{target} {name} ({contract['file']}): {what}" for what in wrong]
            share = 100 * blocks * contract["threads"] / THREADS[number]
            rows[name] += f"{usage[name][0]:>6}{blocks:>4}{share:>5.0f}%"
    for name, row in rows.items():
        print(f"{name:32}{row}")
    print("\n".join(failures) if failures else f"{len(contracts)} kernels on {len(targets)} targets keep to their contracts")
    return 1 if failures or not contracts else 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
