EXACT = "float32"  # the quantization that keeps weights as they are, and the default; read without importing torch
