"""Latency of other engines and of this project on the same network, in turn, one thread, one core.

    pip install onnxruntime==1.32.0 openvino==2026.4.1 ai-edge-litert==2.3.0
    python benches/peers/latency.py resnet8 resnet8.qdq-u8.onnx resnet8.tflite

The first argument is what `cargo bench -p limbeck-benches --bench session` understands: the name of a known network (random weights), with
@TOKENS behind it for another length of text, or a `.lmb` file. The others are files of the same network: `.onnx` for ONNX Runtime and OpenVINO,
`.tflite` for LiteRT, each engine that is installed. Speed depends on shapes, not on weights.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time

import numpy


def values(shape, kind, name):
    """An input: normally distributed numbers, or, of tokens and masks, ones, which are the same work as any others."""
    shape = [n if isinstance(n, int) and n > 0 else 1 for n in shape]
    if numpy.issubdtype(kind, numpy.integer):
        return numpy.ones(shape, kind)
    random = numpy.random.default_rng(len(name)).standard_normal(shape)
    return random.astype(kind)


class Engine:
    """A network in another engine; a subclass has `name` and `run`."""

    def measure(self, seconds):
        clock, run = time.perf_counter, self.run
        run()
        times = []
        end = clock() + seconds
        while len(times) < 5 or clock() < end:
            start = clock()
            run()
            times.append((clock() - start) * 1e3)
        return times


class OnnxRuntime(Engine):
    package, suffix = "onnxruntime", ".onnx"

    def __init__(self, path):
        import onnxruntime

        self.name = f"onnxruntime {onnxruntime.__version__} {os.path.basename(path)}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        # Bound buffers leave Python's conversion of inputs and outputs out of the clock.
        binding = session.io_binding()
        kinds = {"tensor(int64)": numpy.int64, "tensor(int32)": numpy.int32}
        for port in session.get_inputs():
            value = values(port.shape, kinds.get(port.type, numpy.float32), port.name)
            binding.bind_ortvalue_input(port.name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
        for port in session.get_outputs():
            binding.bind_output(port.name)
        self.run = lambda: session.run_with_iobinding(binding)


class OpenVino(Engine):
    package, suffix = "openvino", ".onnx"

    def __init__(self, path):
        import openvino

        version = openvino.__version__.split("-")[0]
        self.name = f"openvino {version} {os.path.basename(path)}"
        # With bfloat16, its default where the CPU has it, the parts left in float are slower on some.
        settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        settings |= {"INFERENCE_PRECISION_HINT": "f32"}
        request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
        for i, port in enumerate(request.model_inputs):
            shape = [n.get_length() if n.is_static else 1 for n in port.partial_shape]
            request.set_input_tensor(i, openvino.Tensor(values(shape, port.element_type.to_dtype(), port.any_name)))
        self.run = request.infer


class LiteRt(Engine):
    package, suffix = "ai_edge_litert", ".tflite"

    def __init__(self, path):
        from importlib.metadata import version

        from ai_edge_litert.interpreter import Interpreter

        self.name = f"litert {version('ai-edge-litert')} {os.path.basename(path)}"
        interpreter = Interpreter(path, num_threads=1)
        interpreter.allocate_tensors()
        for port in interpreter.get_input_details():
            interpreter.set_tensor(port["index"], values(port["shape"].tolist(), port["dtype"], port["name"]))
        self.run = interpreter.invoke


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


def engines(paths):
    """Every engine that is installed on every file that it reads."""
    for path in paths:
        readers = [e for e in (OnnxRuntime, OpenVino, LiteRt) if path.endswith(e.suffix)]
        installed = [e for e in readers if importlib.util.find_spec(e.package)]
        if not installed:
            wanted = " or ".join(e.package for e in readers)
            sys.exit(f"{path}: {'install ' + wanted if readers else 'neither .onnx nor .tflite'}")
        for engine in installed:
            try:
                yield engine(path)
            # Each engine has errors of its own for operators that it does not know.
            except Exception as error:
                print(f"{path}: {engine.package} cannot run it: {str(error).strip().splitlines()[-1]}", file=sys.stderr)


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
    parser.add_argument("files", nargs="+", help="ONNX or LiteRT files of the same network")
    parser.add_argument("--rounds", type=int, default=12, help="turns of each program (default 12)")
    parser.add_argument("--seconds", type=float, default=0.25, help="length of a turn (default 0.25)")
    parser.add_argument("--core", type=int, default=os.cpu_count() - 1, help="core to run on (default the last)")
    parser.add_argument("--program", help="the session benchmark, if it is built already (else cargo builds it)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()

    program = arguments.program or build()
    if hasattr(os, "sched_setaffinity"):
        # Before any engine starts its threads: they and the other program inherit it.
        os.sched_setaffinity(0, {arguments.core})
    programs = [Own(program, arguments.model)] + list(engines(arguments.files))
    times = {p.name: [] for p in programs}
    for _ in range(arguments.rounds):
        for p in programs:
            times[p.name] += p.measure(arguments.seconds)

    rows = []
    for name, measured in times.items():
        measured.sort()
        median = measured[len(measured) // 2]
        rows.append({"name": name, "min_ms": measured[0], "median_ms": median, "runs": len(measured)})
    if arguments.json:
        print(json.dumps({"network": arguments.model, "core": arguments.core, "rows": rows}))
        return
    print(f"core {arguments.core}, {arguments.rounds} turns of {arguments.seconds} s")
    print(f"{'':<50} {'min ms':>9} {'median ms':>10} {'runs':>7} {'times limbeck (min, median)':>30}")
    for row in rows:
        ratios = [row[k] / rows[0][k] for k in ("min_ms", "median_ms")]
        print(
            f"{row['name']:<50} {row['min_ms']:>9.4f} {row['median_ms']:>10.4f} {row['runs']:>7}"
            f" {ratios[0]:>22.2f} {ratios[1]:>7.2f}"
        )


if __name__ == "__main__":
    main()
