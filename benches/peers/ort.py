"""Latency of ONNX Runtime and of this project on the same network, in turn, one thread, one core.

    pip install onnxruntime==1.32.0
    python benches/peers/ort.py resnet8 resnet8.qdq-u8.onnx resnet8.qdq-s8.onnx

The first argument is what `cargo bench -p limbeck-benches --bench session` understands: the name of a known network (random weights) or a
`.lmb` file; the others are ONNX files of the same network, of encoders those that `encoder.py` makes. Speed depends on shapes, not
on weights.
"""

import argparse
import json
import os
import subprocess
import time

import numpy
import onnxruntime


class Peer:
    """An ONNX file in a session of its own."""

    def __init__(self, path):
        self.name = f"onnxruntime {os.path.basename(path)}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        # Bound buffers leave Python's conversion of inputs and outputs out of the clock.
        self.binding = self.session.io_binding()
        for port in self.session.get_inputs():
            shape = [n if isinstance(n, int) else 1 for n in port.shape]
            # Tokens and masks of ones: the same work as with any others.
            whole = {"tensor(int64)": numpy.int64, "tensor(int32)": numpy.int32}.get(port.type)
            random = numpy.random.default_rng(1).standard_normal(shape)
            values = random.astype(numpy.float32) if whole is None else numpy.ones(shape, whole)
            self.binding.bind_ortvalue_input(port.name, onnxruntime.OrtValue.ortvalue_from_numpy(values))
        for port in self.session.get_outputs():
            self.binding.bind_output(port.name)

    def measure(self, seconds):
        clock, session, binding = time.perf_counter, self.session, self.binding
        session.run_with_iobinding(binding)
        times = []
        end = clock() + seconds
        while len(times) < 5 or clock() < end:
            start = clock()
            session.run_with_iobinding(binding)
            times.append((clock() - start) * 1e3)
        return times


class Own:
    """The benchmark program of this project, told what to do line by line."""

    def __init__(self, program, model):
        self.name = f"limbeck {os.path.basename(model)}"
        command = [program, "--serve", model]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def measure(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return [float(v) for v in self.process.stdout.readline().split()]


def build():
    """Builds the session benchmark; its path."""
    command = "cargo bench --package limbeck-benches --bench session --no-run --message-format json".split()
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    lines = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    artifacts = (json.loads(line) for line in lines if line.startswith("{"))
    return [a["executable"] for a in artifacts if a.get("target", {}).get("name") == "session"][-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name of a known network, or a .lmb file")
    parser.add_argument("onnx", nargs="+", help="ONNX files of the same network")
    parser.add_argument("--rounds", type=int, default=12, help="turns of each program (default 12)")
    parser.add_argument("--seconds", type=float, default=0.25, help="length of a turn (default 0.25)")
    parser.add_argument("--core", type=int, default=os.cpu_count() - 1, help="core to run on (default the last)")
    parser.add_argument("--program", help="the session benchmark, if it is built already (else cargo builds it)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()

    own = Own(arguments.program or build(), arguments.model)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {arguments.core})
        os.sched_setaffinity(own.process.pid, {arguments.core})
    programs = [own] + [Peer(path) for path in arguments.onnx]
    times = {p.name: [] for p in programs}
    for _ in range(arguments.rounds):
        for p in programs:
            times[p.name] += p.measure(arguments.seconds)

    rows = []
    for name, values in times.items():
        values.sort()
        rows.append({"name": name, "min_ms": values[0], "median_ms": values[len(values) // 2], "runs": len(values)})
    if arguments.json:
        print(json.dumps({"core": arguments.core, "onnxruntime": onnxruntime.__version__, "rows": rows}))
        return
    print(f"onnxruntime {onnxruntime.__version__}, core {arguments.core}, {arguments.rounds} turns of {arguments.seconds} s")
    print(f"{'':<40} {'min ms':>9} {'median ms':>10} {'runs':>7} {'times limbeck (min, median)':>30}")
    for row in rows:
        ratios = [row[k] / rows[0][k] for k in ("min_ms", "median_ms")]
        print(
            f"{row['name']:<40} {row['min_ms']:>9.4f} {row['median_ms']:>10.4f} {row['runs']:>7}"
            f" {ratios[0]:>22.2f} {ratios[1]:>7.2f}"
        )


if __name__ == "__main__":
    main()
