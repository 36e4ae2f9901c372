"""Frames in the precision of a prepacked model."""

import pytest
import torch
from toy import tiny_config

from mt.compute.matmul import has_bf16
from mt.nn.encoders import frame_model
from mt.nn.prepacked import prepacked
from mt.nn.source import FrameSource


@pytest.mark.skipif(not has_bf16(), reason="no bfloat16 here")
def test_a_copy_in_16_bits_reads_frames_in_32():
    torch.manual_seed(0)
    model = frame_model(tiny_config(), frame_size=4, tgt_size=9).eval()
    source = FrameSource.pack([torch.randn(5, 4), torch.randn(3, 4)])
    with torch.inference_mode():
        rows = prepacked(model, torch.bfloat16).encode(source).rows
        assert rows.dtype is torch.bfloat16
        assert torch.allclose(rows.float(), model.encode(source).rows, atol=0.1)
