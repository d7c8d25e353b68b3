"""ONNX files of encoders with a classifier, random weights, quantized to int8 as ONNX Runtime's users do it.

    pip install onnxruntime==1.32.0 onnx==1.23.2
    python benches/peers/encoder.py bert-tiny FOLDER

Writes FOLDER/NAME.FORM.onnx. The sizes are those that `cargo bench -p limbeck-benches --bench session` knows by the same name. The forms:

    float       what an export gives: standard operators, opset 20
    dynamic     float, by quantize_dynamic: int8 weights, activations quantized in each run
    static      float, by quantize_static: QDQ around MatMul and Gemm, uint8 activations, int8 weights of each channel
    fused       attention, residual sums with their normalization, and biased GELU as ONNX Runtime's own operators, as its
                transformer optimizer leaves them
    fused-dynamic   fused, by quantize_dynamic
"""

import argparse
import os

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

# layers, width, heads, hidden, vocabulary, places, length of a run
SIZES = {
    "bert-tiny": (2, 128, 2, 512, 8192, 128, 32),
    "minilm": (6, 384, 12, 1536, 30522, 512, 128),
    "distilbert": (6, 768, 12, 3072, 30522, 512, 128),
}
CLASSES = 2
EPSILON = 1e-12


class Builder:
    """A graph under construction."""

    def __init__(self, sizes, fused):
        self.layers, self.width, self.heads, self.hidden, self.vocabulary, self.places, self.length = sizes
        self.fused = fused
        self.random = numpy.random.default_rng(1)
        self.nodes, self.constants = [], []
        self.count = 0

    def constant(self, values):
        self.count += 1
        name = f"c{self.count}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def weights(self, *shape):
        return self.constant((self.random.standard_normal(shape) / numpy.sqrt(shape[0])).astype(numpy.float32))

    def vector(self, n, mean=0.0):
        return self.constant((mean + self.random.standard_normal(n) / 10).astype(numpy.float32))

    def integers(self, *values):
        return self.constant(numpy.array(values, numpy.int64))

    def op(self, kind, *inputs, domain="", outputs=1, **attributes):
        self.count += 1
        names = [f"t{self.count}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=f"n{self.count}", domain=domain, **attributes))
        return names[0]

    def linear(self, x, inputs, outputs):
        return self.op("Add", self.op("MatMul", x, self.weights(inputs, outputs)), self.vector(outputs))

    def attention(self, x):
        width, heads = self.width, self.heads
        if self.fused:
            own = {"domain": "com.microsoft", "num_heads": heads}
            return self.op("Attention", x, self.weights(width, 3 * width), self.vector(3 * width), "mask", **own)
        apart = self.integers(1, self.length, heads, width // heads)
        rows = lambda order: self.op(
            "Transpose", self.op("Reshape", self.linear(x, width, width), apart), perm=order
        )
        queries, keys, values = rows([0, 2, 1, 3]), rows([0, 2, 3, 1]), rows([0, 2, 1, 3])
        root = self.constant(numpy.float32(numpy.sqrt(width // heads)))
        scores = self.op("Add", self.op("Div", self.op("MatMul", queries, keys), root), self.bias)
        mixed = self.op("MatMul", self.op("Softmax", scores, axis=-1), values)
        return self.op("Reshape", self.op("Transpose", mixed, perm=[0, 2, 1, 3]), self.integers(1, self.length, width))

    def normalized(self, x, residual):
        gain, bias = self.vector(self.width, 1.0), self.vector(self.width)
        if residual is None:
            return self.op("LayerNormalization", x, gain, bias, axis=-1, epsilon=EPSILON)
        if self.fused:
            own = {"domain": "com.microsoft", "epsilon": EPSILON}
            return self.op("SkipLayerNormalization", x, residual, gain, bias, **own)
        return self.op("LayerNormalization", self.op("Add", x, residual), gain, bias, axis=-1, epsilon=EPSILON)

    def behind(self, x):
        wide = self.op("MatMul", x, self.weights(self.width, self.hidden))
        bias = self.vector(self.hidden)
        if self.fused:
            wide = self.op("BiasGelu", wide, bias, domain="com.microsoft")
        else:
            wide = self.op("Gelu", self.op("Add", wide, bias))
        return self.linear(wide, self.hidden, self.width)

    def build(self):
        width, length = self.width, self.length
        if not self.fused:
            # 0 where there is a token, the least number elsewhere.
            mask = self.op("Cast", "mask", to=TensorProto.FLOAT)
            absent = self.op("Sub", self.constant(numpy.float32(1)), mask)
            bias = self.op("Mul", absent, self.constant(numpy.float32(-1e9)))
            self.bias = self.op("Unsqueeze", bias, self.integers(1, 2))
        words = self.op("Gather", self.weights(self.vocabulary, width), "ids", axis=0)
        places = self.op("Slice", self.weights(self.places, width), self.integers(0), self.integers(length))
        x = self.normalized(self.op("Add", words, places), None)
        for _ in range(self.layers):
            x = self.normalized(self.linear(self.attention(x), width, width), x)
            x = self.normalized(self.behind(x), x)
        first = self.op("Gather", x, self.constant(numpy.int64(0)), axis=1)
        pooled = self.op("Relu", self.op("Gemm", first, self.weights(width, width), self.vector(width)))
        self.nodes.append(
            helper.make_node("Gemm", [pooled, self.weights(width, CLASSES), self.vector(CLASSES)], ["scores"], name="last")
        )
        whole = TensorProto.INT32 if self.fused else TensorProto.INT64
        graph = helper.make_graph(
            self.nodes,
            "encoder",
            [
                helper.make_tensor_value_info("ids", TensorProto.INT64, [1, length]),
                helper.make_tensor_value_info("mask", whole, [1, length]),
            ],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, CLASSES])],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


class Texts(CalibrationDataReader):
    """Random tokens: what a graph needs to be calibrated, though not to be accurate."""

    def __init__(self, vocabulary, length):
        random = numpy.random.default_rng(2)
        ids = lambda: random.integers(0, vocabulary, (1, length))
        self.feeds = iter([{"ids": ids(), "mask": numpy.ones((1, length), numpy.int64)} for _ in range(4)])

    def get_next(self):
        return next(self.feeds, None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help=f"{', '.join(SIZES)}; @TOKENS behind it for another length of text")
    parser.add_argument("folder")
    arguments = parser.parse_args()
    name, _, tokens = arguments.name.partition("@")
    if name not in SIZES:
        parser.error(f"{name}: not one of {', '.join(SIZES)}")
    sizes = SIZES[name][:-1] + (int(tokens or SIZES[name][-1]),)
    path = lambda form: os.path.join(arguments.folder, f"{arguments.name}.{form}.onnx")
    onnx.save(Builder(sizes, fused=False).build(), path("float"))
    onnx.save(Builder(sizes, fused=True).build(), path("fused"))
    # Of ONNX Runtime's own operators shape inference knows no types.
    types = {"DefaultTensorType": TensorProto.FLOAT}
    weights = {"weight_type": QuantType.QInt8, "per_channel": True, "extra_options": types}
    quantize_dynamic(path("float"), path("dynamic"), **weights)
    quantize_dynamic(path("fused"), path("fused-dynamic"), **weights)
    quantize_static(
        path("float"),
        path("static"),
        Texts(sizes[4], sizes[6]),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
        **weights,
    )


if __name__ == "__main__":
    main()
