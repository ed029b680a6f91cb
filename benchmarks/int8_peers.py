"""The peers of ``int8_accuracy.py``: each takes the same float model and calibration samples and gives class scores.

The models go to the peers as files that marram writes (ONNX, TFLite) from one float Graph with its batch norms folded; a peer
that is not installed is left out. Every peer runs with its defaults, and again with true minima and maxima where those clip.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from marram.core.graph import Array, Graph

Scores = Array
Peer = Callable[[Graph, Array, Array], Scores]


def onnxruntime_static(method: str) -> Peer:
    """ONNX Runtime's ``quantize_static``: QDQ, per channel, u8s8, after its own pre-processing."""

    def run(graph: Graph, calibration: Array, test: Array) -> Scores:
        import onnxruntime
        from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        from marram.model.onnx import write

        class Reader(CalibrationDataReader):
            def __init__(self) -> None:
                self.left = iter(calibration)

            def get_next(self) -> dict[str, Array] | None:
                one = next(self.left, None)
                return None if one is None else {name: one[None]}

        with tempfile.TemporaryDirectory() as folder:
            source, prepared, target = (str(Path(folder) / name) for name in ("a.onnx", "p.onnx", "q.onnx"))
            Path(source).write_bytes(write(graph))
            quant_pre_process(source, prepared)
            name = onnxruntime.InferenceSession(prepared, providers=["CPUExecutionProvider"]).get_inputs()[0].name
            quantize_static(
                prepared,
                target,
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod[method],
            )
            session = onnxruntime.InferenceSession(target, _one_thread(), providers=["CPUExecutionProvider"])
        return np.concatenate([session.run(None, {name: one[None]})[0] for one in test])

    return run


def _one_thread() -> object:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options


def ai_edge_quantizer(*, min_max: bool) -> Peer:
    """Google's ai-edge-quantizer, recipe ``static_wi8_ai8``; its default range is a moving average of each sample's."""

    def run(graph: Graph, calibration: Array, test: Array) -> Scores:
        from ai_edge_quantizer import calibrator, quantizer, recipe
        from ai_edge_quantizer.utils import qsv_utils

        from marram.model.tflite import write

        with tempfile.TemporaryDirectory() as folder:
            source, target = str(Path(folder) / "a.tflite"), str(Path(folder) / "b.tflite")
            Path(source).write_bytes(write(graph))
            tool = quantizer.Quantizer(source, recipe.static_wi8_ai8())
            signature, name = _signature(source)
            samples = [{name: one[None]} for one in calibration]
            if min_max:
                mode = calibrator.CalibrationMode.CALIBRATION_PRESERVE_ALL_TENSORS
                watcher = calibrator.CalibrationInterpreter(source, mode=mode, qsv_update_func=qsv_utils.min_max_update)
                runner = watcher.get_signature_runner(signature)
                for sample in samples:
                    runner(**sample)
                ranges = watcher.get_calibration_results()
            else:
                ranges = tool.calibrate({signature: samples})
            tool.quantize(ranges).export_model(target, overwrite=True)
            return _litert(Path(target).read_bytes(), test)

    return run


def _signature(path: str) -> tuple[str, str]:
    from ai_edge_litert.interpreter import Interpreter

    listed = Interpreter(path).get_signature_list()
    key = next(iter(listed))
    return key, listed[key]["inputs"][0]


def _litert(blob: bytes, test: Array) -> Scores:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=blob, num_threads=1)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = source["quantization"]
    if scale:
        limits = np.iinfo(source["dtype"])
        test = np.clip(np.round(test / scale) + zero, limits.min, limits.max).astype(source["dtype"])
    outputs = []
    for one in test:
        interpreter.set_tensor(source["index"], one[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target["index"]))
    return np.concatenate(outputs)


def nncf_openvino(*, min_max: bool) -> Peer:
    """NNCF's post-training quantisation, run by OpenVINO; its default clips outliers and corrects biases."""

    def run(graph: Graph, calibration: Array, test: Array) -> Scores:
        import nncf
        import openvino
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        from marram.model.onnx import write

        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "a.onnx"
            source.write_bytes(write(graph))
            model = openvino.convert_model(str(source))
        advanced = nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX if min_max else None
        )
        samples = nncf.Dataset([one[None] for one in calibration])
        quantised = nncf.quantize(model, samples, subset_size=len(calibration), advanced_parameters=advanced)
        settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        network = openvino.Core().compile_model(quantised, "CPU", settings)
        return np.concatenate([network(one[None])[0] for one in test])

    return run


PEERS: dict[str, tuple[str, Peer]] = {
    "ORT static, MinMax (default)": ("onnxruntime", onnxruntime_static("MinMax")),
    "ORT static, Percentile 99.999": ("onnxruntime", onnxruntime_static("Percentile")),
    "ai-edge-quantizer, moving average (default)": ("ai_edge_quantizer", ai_edge_quantizer(min_max=False)),
    "ai-edge-quantizer, min-max": ("ai_edge_quantizer", ai_edge_quantizer(min_max=True)),
    "NNCF (default)": ("nncf", nncf_openvino(min_max=False)),
    "NNCF, min-max": ("nncf", nncf_openvino(min_max=True)),
}


def installed() -> dict[str, Peer]:
    """The peers that this environment has."""
    return {name: peer for name, (package, peer) in PEERS.items() if importlib.util.find_spec(package) is not None}
