"""Encoders in other programs, with random weights, for `cargo xtask bench peers --part`.

    peer_encoders.py PART PROGRAM FORM THREADS FOLDER

PART is clip, sam-b, sam-h, prompt-mask, prompt-masks (64 of them) or imagebind; PROGRAM and FORM are
torch (f32 or bf16), onnxruntime (f32 or int8, rounded dynamically) or openvino (f32, bf16 or int8,
calibrated by nncf on the measured input). ONNX files are exported into FOLDER when they are missing.

Prints a description as JSON on one line, then answers every line by the seconds of one run.
"""

import contextlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

part, program, form, threads, folder = sys.argv[1:6]
threads, folder = int(threads), Path(folder)
PROMPTS = 64


def model():
    """Module of the part, and the shapes of its inputs."""
    import torch
    from reference import clip_config, fill, imagebind, sam_config
    from torch import nn
    from transformers import CLIPVisionModel, SamModel

    torch.set_grad_enabled(False)
    if part == "clip":
        vision = CLIPVisionModel(clip_config("full"))
        projector = nn.Linear(1024, 4096)

        class Clip(nn.Module):
            def __init__(self):
                super().__init__()
                self.vision, self.projector = vision, projector

            def forward(self, pixels):
                states = self.vision(pixels, output_hidden_states=True).hidden_states
                return self.projector(states[-2][:, 1:])

        return fill(Clip()), [(1, 3, 224, 224)]
    if part == "imagebind":
        return fill(imagebind("full")), [(1, 3, 1, 128, 204)]
    size, side = sam_config("sam-h" if part == "sam-h" else "sam-b", "full")
    sam = SamModel(size)
    fill(sam)
    if part in ("sam-b", "sam-h"):

        class Encoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.encoder = sam.vision_encoder

            def forward(self, pixels):
                return self.encoder(pixels).last_hidden_state

        return Encoder().eval(), [(1, 3, side, side)]
    grid = side // 16
    positions = sam.get_image_wide_positional_embeddings().detach()
    dense = sam.prompt_encoder.no_mask_embed.weight.detach()

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = sam.mask_decoder
            self.register_buffer("positions", positions)
            self.register_buffer("dense", dense.reshape(1, 256, 1, 1).expand(1, 256, grid, grid).contiguous())

        def forward(self, embedding, prompts):
            return self.decoder(
                image_embeddings=embedding,
                image_positional_embeddings=self.positions,
                sparse_prompt_embeddings=prompts[None, :, None],
                dense_prompt_embeddings=self.dense,
                multimask_output=False,
            )[0]

    count = PROMPTS if part == "prompt-masks" else 1
    return Decoder().eval(), [(1, 256, grid, grid), (count, 256)]


def inputs(shapes):
    random = np.random.default_rng(0)
    return [random.standard_normal(shape, dtype=np.float32) for shape in shapes]


def shapes_file():
    return folder / f"{part}.json"


def exported():
    """ONNX file of the part in f32, exported unless it is there."""
    path = folder / f"{part}.onnx"
    if not path.exists() or not shapes_file().exists():
        import torch

        folder.mkdir(parents=True, exist_ok=True)
        module, shapes = model()
        example = tuple(torch.from_numpy(x) for x in inputs(shapes))
        names = [f"input_{index}" for index in range(len(shapes))]
        # Its progress is not for the program that reads the output.
        with torch.inference_mode(), contextlib.redirect_stdout(sys.stderr):
            torch.onnx.export(module, example, str(path), input_names=names, output_names=["output"], dynamo=True)
        from torch.utils.flop_counter import FlopCounterMode

        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            module(*example)
        shapes_file().write_text(json.dumps(dict(shapes=shapes, flops=counter.get_total_flops())))
    return path


def known():
    return json.loads(shapes_file().read_text())


def torch_side():
    import torch

    torch.set_num_threads(threads)
    exported()
    dtype = dict(f32=torch.float32, bf16=torch.bfloat16)[form]
    module, shapes = model()
    module = module.to(dtype)
    given = [torch.from_numpy(x).to(dtype) for x in inputs(shapes)]

    def run():
        with torch.inference_mode():
            return module(*given)

    return f"torch {torch.__version__}", run


def onnxruntime_side():
    import onnxruntime as ort

    path = exported()
    if form == "int8":
        rounded = folder / f"{part}.int8.onnx"
        if not rounded.exists():
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantize_dynamic(str(path), str(rounded), weight_type=QuantType.QInt8)
        path = rounded
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    given = dict(zip(names, inputs(known()["shapes"])))
    return f"onnxruntime {ort.__version__}", lambda: session.run(None, given)


def openvino_side():
    import openvino as ov

    core, path = ov.Core(), exported()
    if form == "int8":
        path = folder / f"{part}.int8.xml"
        if not path.exists():
            with contextlib.redirect_stdout(sys.stderr):
                import nncf

                sample = nncf.Dataset([inputs(known()["shapes"])])
                kind = nncf.ModelType.TRANSFORMER
                rounded = nncf.quantize(core.read_model(str(exported())), sample, subset_size=1, model_type=kind)
            ov.save_model(rounded, str(path), compress_to_fp16=False)
    settings = dict(
        INFERENCE_PRECISION_HINT="bf16" if form == "bf16" else "f32",
        INFERENCE_NUM_THREADS=str(threads),
        PERFORMANCE_HINT="LATENCY",
        NUM_STREAMS="1",
    )
    compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)
    request = compiled.create_infer_request()
    given = inputs(known()["shapes"])
    return f"openvino {ov.__version__}", lambda: request.infer(given)


def main():
    sides = dict(torch=torch_side, onnxruntime=onnxruntime_side, openvino=openvino_side)
    about, run = sides[program]()
    print(json.dumps(dict(about=about, flops=known()["flops"])), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main()
