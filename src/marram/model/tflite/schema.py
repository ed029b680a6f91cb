"""The part of TFLite's flatbuffers schema (version 3) that the Graph needs, as data.

``TABLES`` gives each table's fields in the order of their ids; a type is written as in the flatbuffers schema language:
a scalar with its default if that is not zero (``int=1``), ``string``, ``[scalar]``, ``Table``, ``[Table]`` or
``union`` (the field before it holds the number of the table, see ``OPTIONS``). Fields that nobody here reads keep their
place by name. Reader and writer walk the same data. Source: tensorflow/compiler/mlir/lite/schema/schema.fbs;
``tests/model/tflite/test_schema.py`` holds it against the module that ``flatc`` generated from it.
"""

from __future__ import annotations

from typing import Final

IDENTIFIER: Final = b"TFL3"
VERSION: Final = 3

SCALARS: Final[dict[str, str]] = {  # name in the schema -> little-endian numpy dtype
    "bool": "|b1",
    "byte": "|i1",
    "ubyte": "|u1",
    "int": "<i4",
    "uint": "<u4",
    "long": "<i8",
    "ulong": "<u8",
    "float": "<f4",
}

TABLES: Final[dict[str, dict[str, str]]] = {
    "Model": {
        "version": "uint",
        "operator_codes": "[OperatorCode]",
        "subgraphs": "[SubGraph]",
        "description": "string",
        "buffers": "[Buffer]",
        "metadata_buffer": "[int]",
        "metadata": "[Metadata]",
        "signature_defs": "[SignatureDef]",
    },
    "OperatorCode": {"deprecated_builtin_code": "byte", "custom_code": "string", "version": "int=1", "builtin_code": "int"},
    "SubGraph": {
        "tensors": "[Tensor]",
        "inputs": "[int]",
        "outputs": "[int]",
        "operators": "[Operator]",
        "name": "string",
    },
    "Buffer": {"data": "[ubyte]", "offset": "ulong", "size": "ulong"},
    "Metadata": {"name": "string", "buffer": "uint"},
    "SignatureDef": {
        "inputs": "[TensorMap]",
        "outputs": "[TensorMap]",
        "signature_key": "string",
        "deprecated_tag": "string",
        "subgraph_index": "uint",
    },
    "TensorMap": {"name": "string", "tensor_index": "uint"},
    "Tensor": {
        "shape": "[int]",
        "type": "byte",
        "buffer": "uint",
        "name": "string",
        "quantization": "QuantizationParameters",
        "is_variable": "bool",
        "sparsity": "SparsityParameters",
        "shape_signature": "[int]",
    },
    "QuantizationParameters": {
        "min": "[float]",
        "max": "[float]",
        "scale": "[float]",
        "zero_point": "[long]",
        "details_type": "ubyte",
        "details": "union",
        "quantized_dimension": "int",
    },
    "SparsityParameters": {},
    "Operator": {
        "opcode_index": "uint",
        "inputs": "[int]",
        "outputs": "[int]",
        "builtin_options_type": "ubyte",
        "builtin_options": "union",
    },
    "Conv2DOptions": {
        "padding": "byte",
        "stride_w": "int",
        "stride_h": "int",
        "fused_activation_function": "byte",
        "dilation_w_factor": "int=1",
        "dilation_h_factor": "int=1",
    },
    "DepthwiseConv2DOptions": {
        "padding": "byte",
        "stride_w": "int",
        "stride_h": "int",
        "depth_multiplier": "int",
        "fused_activation_function": "byte",
        "dilation_w_factor": "int=1",
        "dilation_h_factor": "int=1",
    },
    "TransposeConvOptions": {
        "padding": "byte",
        "stride_w": "int",
        "stride_h": "int",
        "fused_activation_function": "byte",
    },
    "Pool2DOptions": {
        "padding": "byte",
        "stride_w": "int",
        "stride_h": "int",
        "filter_width": "int",
        "filter_height": "int",
        "fused_activation_function": "byte",
    },
    "FullyConnectedOptions": {"fused_activation_function": "byte", "weights_format": "byte", "keep_num_dims": "bool"},
    "BatchMatMulOptions": {"adj_x": "bool", "adj_y": "bool"},
    "AddOptions": {"fused_activation_function": "byte", "pot_scale_int16": "bool=1"},
    "SubOptions": {"fused_activation_function": "byte", "pot_scale_int16": "bool=1"},
    "MulOptions": {"fused_activation_function": "byte"},
    "SquaredDifferenceOptions": {},
    "SoftmaxOptions": {"beta": "float"},
    "LeakyReluOptions": {"alpha": "float"},
    "HardSwishOptions": {},
    "GeluOptions": {"approximate": "bool"},
    "ConcatenationOptions": {"axis": "int", "fused_activation_function": "byte"},
    "SplitOptions": {"num_splits": "int"},
    "SplitVOptions": {"num_splits": "int"},
    "SliceOptions": {},
    "StridedSliceOptions": {
        "begin_mask": "int",
        "end_mask": "int",
        "ellipsis_mask": "int",
        "new_axis_mask": "int",
        "shrink_axis_mask": "int",
        "offset": "bool",
    },
    "PadOptions": {},
    "PadV2Options": {},
    "ReshapeOptions": {"new_shape": "[int]"},
    "SqueezeOptions": {"squeeze_dims": "[int]"},
    "ExpandDimsOptions": {},
    "TransposeOptions": {},
    "ReducerOptions": {"keep_dims": "bool"},
    "ResizeBilinearOptions": {
        "new_height": "int",
        "new_width": "int",
        "align_corners": "bool",
        "half_pixel_centers": "bool",
    },
    "ResizeNearestNeighborOptions": {"align_corners": "bool", "half_pixel_centers": "bool"},
    "QuantizeOptions": {},
    "DequantizeOptions": {},
    "ShapeOptions": {"out_type": "byte"},
    "PackOptions": {"values_count": "int", "axis": "int"},
    "GatherOptions": {"axis": "int", "batch_dims": "int"},
    "CastOptions": {"in_data_type": "byte", "out_data_type": "byte"},
}

OPTIONS: Final[dict[str, int]] = {  # the numbers of the union BuiltinOptions
    "Conv2DOptions": 1,
    "DepthwiseConv2DOptions": 2,
    "Pool2DOptions": 5,
    "FullyConnectedOptions": 8,
    "SoftmaxOptions": 9,
    "ConcatenationOptions": 10,
    "AddOptions": 11,
    "ResizeBilinearOptions": 15,
    "ReshapeOptions": 17,
    "MulOptions": 21,
    "PadOptions": 22,
    "GatherOptions": 23,
    "TransposeOptions": 26,
    "ReducerOptions": 27,
    "SubOptions": 28,
    "SqueezeOptions": 30,
    "StridedSliceOptions": 32,
    "SplitOptions": 35,
    "CastOptions": 37,
    "DequantizeOptions": 38,
    "PadV2Options": 43,
    "SliceOptions": 48,
    "TransposeConvOptions": 49,
    "ExpandDimsOptions": 52,
    "ShapeOptions": 55,
    "PackOptions": 59,
    "ResizeNearestNeighborOptions": 74,
    "LeakyReluOptions": 75,
    "SquaredDifferenceOptions": 76,
    "SplitVOptions": 79,
    "QuantizeOptions": 89,
    "HardSwishOptions": 91,
    "BatchMatMulOptions": 101,
    "GeluOptions": 116,
}

UNIONS: Final[dict[tuple[str, str], dict[str, int]]] = {
    ("Operator", "builtin_options"): OPTIONS,
    ("QuantizationParameters", "details"): {},
}

DTYPES: Final[dict[int, str]] = {  # TensorType, those that have a place in a Graph or unpack into one
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    9: "int8",
    17: "int4",
}

ACTIVATIONS: Final[dict[int, str]] = {0: "none", 1: "relu", 2: "relu_n1_to_1", 3: "relu6", 4: "tanh", 5: "sign_bit"}
SAME: Final = 0
VALID: Final = 1

CUSTOM: Final = 32
OPERATORS: Final[tuple[str, ...]] = tuple(  # BuiltinOperator: the name's place is its code
    """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
    FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM
    MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
    SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND
    SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN
    EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2
    GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG
    SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT
    UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU
    SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE
    MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5
    SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO
    RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
    CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE
    RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX
    UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD
    STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE
    STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS
    STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE
    STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH
    STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE
    STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE
    STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE
    STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE
    """.split()  # noqa: SIM905  # a wall of 209 quoted words would hide the order
)
