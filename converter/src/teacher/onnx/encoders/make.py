"""The encoders of ../../hf_dir/encoders.json as exporters write them, to be imported by the tests beside.

    pip install torch==2.15.0 transformers==5.23.0 onnx==1.23.2 onnxscript==0.7.2
    python make.py [FILE]...

Weights follow from the formula in ../../hf_dir/tests.rs. What an import does not look at is left out of the files: the names of nodes
and of values between them, descriptions, and inferred types.
"""

import json
import pathlib
import sys

import onnx
import torch
import transformers

HERE = pathlib.Path(__file__).resolve().parent
MODELS = json.loads((HERE / "../../hf_dir/encoders.json").read_text())["models"]
TOKENS = 12  # the longest text

# file: model, attention, whether by torch.export, opset, whether lengths are open
FILES = {
    "bert_11": ("bert", "eager", False, 11, True),
    "bert_17_fixed": ("bert", "sdpa", False, 17, False),
    "bert_embed_14": ("bert_embed", "sdpa", False, 14, True),
    "bert_embed_20": ("bert_embed", "sdpa", True, 20, True),
    "distilbert_14": ("distilbert", "eager", False, 14, True),
    "distilbert_23": ("distilbert", "sdpa", True, 23, True),
    "electra_18": ("electra", "eager", True, 18, True),
    "electra_texts_17": ("electra_texts", "sdpa", False, 17, True),
    "roberta_14": ("roberta", "eager", False, 14, True),
    "roberta_18": ("roberta", "sdpa", True, 18, True),
}


class Network(torch.nn.Module):
    """A network of transformers, with the pooling of sentence-transformers behind it where it has no head."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, *inputs):
        names = ["input_ids", "attention_mask", "token_type_ids"]
        output = self.inner(**dict(zip(names, inputs)))
        if "logits" in output:
            return output.logits
        tokens = output.last_hidden_state
        mask = inputs[1].unsqueeze(-1).expand(tokens.size()).float()
        mean = (tokens * mask).sum(1) / torch.clamp(mask.sum(1), min=1e-9)
        return tokens, torch.nn.functional.normalize(mean, p=2, dim=1)


def weights(shapes):
    tensors = {}
    for index, name in enumerate(sorted(shapes)):
        one = name.endswith(("LayerNorm.weight", "layer_norm.weight"))
        count = torch.Size(shapes[name]).numel()
        bits = [(i + 7919 * index) * 2654435761 % (1 << 32) >> 20 for i in range(count)]
        tensors[name] = torch.tensor([(b - 2048) / 2048 * 0.5 + one for b in bits]).reshape(shapes[name])
    return tensors


def network(model, attention):
    config = transformers.AutoConfig.for_model(**MODELS[model]["config"])
    kind = getattr(transformers, MODELS[model]["config"]["architectures"][0])
    inner = kind._from_config(config, attn_implementation=attention)
    missing, extra = inner.load_state_dict(weights(MODELS[model]["tensors"]), strict=False)
    assert not extra and all("pooler" in name for name in missing), (missing, extra)
    return Network(inner.eval())


def slim(path):
    """Leaves out what an import does not look at."""
    model = onnx.load(path)
    graph = model.graph
    kept = {value.name for value in [*graph.input, *graph.output, *graph.initializer]}
    short = {}
    for node in graph.node:
        assert not any(attribute.HasField("g") for attribute in node.attribute)
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name and name not in kept:
                    names[index] = short.setdefault(name, f"v{len(short)}")
        node.ClearField("name")
        node.ClearField("doc_string")
        del node.metadata_props[:]
    del graph.value_info[:], graph.metadata_props[:], model.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


for name in sys.argv[1:] or FILES:
    model, attention, by_export, opset, is_open = FILES[name]
    typed = MODELS[model]["config"]["model_type"] != "distilbert"
    inputs = ["input_ids", "attention_mask", "token_type_ids"][: 3 if typed else 2]
    outputs = ["token_embeddings", "sentence_embedding"] if "embed" in model else ["logits"]
    ids = torch.arange(2 * TOKENS if is_open else TOKENS).reshape(-1, TOKENS) % 23
    args = (ids, torch.ones_like(ids), torch.zeros_like(ids))[: len(inputs)]
    path = str(HERE / f"{name}.onnx")
    shapes = {}
    if is_open and by_export:
        axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=TOKENS)}
        shapes["dynamic_shapes"] = {"inputs": (axes,) * len(inputs)}
    elif is_open:
        shapes["dynamic_axes"] = {name: {0: "batch", 1: "tokens"} for name in inputs} | {n: {0: "batch"} for n in outputs}
    torch.onnx.export(
        network(model, attention), args, path, input_names=inputs, output_names=outputs, opset_version=opset,
        dynamo=by_export, external_data=False, **shapes,
    )
    slim(path)
