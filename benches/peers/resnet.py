"""ONNX files of residual networks, random weights, quantized to int8 as ONNX Runtime's users do it.

    pip install onnxruntime==1.32.0 onnx==1.23.2
    python benches/peers/resnet.py resnet18 FOLDER

Writes FOLDER/NAME.float.onnx (batch normalization folded, opset 13) and FOLDER/NAME.qdq-u8.onnx: QDQ by quantize_static, uint8
activations, int8 weights of each channel. The networks are those that `cargo bench -p limbeck-benches --bench session` knows by the same name.
"""

import argparse
import os

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

# size of the image, (channels, taps, stride) of the stem, pool behind it, bottlenecks, (channels, blocks) of the stages, classes
NETWORKS = {
    "resnet8": (32, (16, 3, 1), False, False, [(16, 1), (32, 1), (64, 1)], 10),
    "resnet20": (32, (16, 3, 1), False, False, [(16, 3), (32, 3), (64, 3)], 10),
    "resnet18": (224, (64, 7, 2), True, False, [(64, 2), (128, 2), (256, 2), (512, 2)], 1000),
    "resnet50": (224, (64, 7, 2), True, True, [(64, 3), (128, 4), (256, 6), (512, 3)], 1000),
}


class Builder:
    """A graph under construction; tensors are pairs of a name and a number of channels."""

    def __init__(self):
        self.random = numpy.random.default_rng(1)
        self.nodes, self.constants = [], []

    def constant(self, *shape):
        name = f"c{len(self.constants)}"
        spread = numpy.sqrt(2 / max(1, numpy.prod(shape[1:])))
        values = (self.random.standard_normal(shape) * spread).astype(numpy.float32)
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def op(self, kind, *inputs, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"n{len(self.nodes)}", **attributes))
        return name

    def conv(self, x, channels, taps, stride):
        (name, own), pad = x, taps // 2
        parameters = [self.constant(channels, own, taps, taps), self.constant(channels)]
        return self.op("Conv", name, *parameters, strides=[stride] * 2, pads=[pad] * 4), channels

    def relu(self, x):
        return self.op("Relu", x[0]), x[1]

    def block(self, x, channels, stride, bottleneck):
        chain = [(channels, 1, 1), (channels, 3, stride), (4 * channels, 1, 1)]
        if not bottleneck:
            chain = [(channels, 3, stride), (channels, 3, 1)]
        y = x
        for i, (width, taps, step) in enumerate(chain):
            y = self.conv(y if i == 0 else self.relu(y), width, taps, step)
        if stride > 1 or x[1] != y[1]:
            x = self.conv(x, y[1], 1, stride)
        return self.relu((self.op("Add", y[0], x[0]), y[1]))

    def build(self, size, stem, pool, bottleneck, stages, classes):
        x = self.relu(self.conv(("image", 3), *stem))
        if pool:
            x = self.op("MaxPool", x[0], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), x[1]
        for stage, (channels, count) in enumerate(stages):
            for i in range(count):
                x = self.block(x, channels, 2 if stage > 0 and i == 0 else 1, bottleneck)
        flat = self.op("Flatten", self.op("GlobalAveragePool", x[0]))
        last = [flat, self.constant(classes, x[1]), self.constant(classes)]
        self.nodes.append(helper.make_node("Gemm", last, ["scores"], name="last", transB=1))
        graph = helper.make_graph(
            self.nodes,
            "resnet",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, classes])],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


class Images(CalibrationDataReader):
    """Random images: what a graph needs to be calibrated, though not to be accurate."""

    def __init__(self, size):
        random = numpy.random.default_rng(2)
        self.feeds = iter([{"image": random.standard_normal((1, 3, size, size)).astype(numpy.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.feeds, None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NETWORKS)
    parser.add_argument("folder")
    arguments = parser.parse_args()
    path = lambda form: os.path.join(arguments.folder, f"{arguments.name}.{form}.onnx")
    network = NETWORKS[arguments.name]
    onnx.save(Builder().build(*network), path("float"))
    quantize_static(
        path("float"),
        path("qdq-u8"),
        Images(network[0]),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )


if __name__ == "__main__":
    main()
