"""LiteRT without XNNPACK: the slow kernels, as another opinion of a .tflite."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def plain_answers(model, images):
    """The answers of a .tflite to uint8 images."""
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=kernels)
    source = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(source, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source, images.astype(np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
