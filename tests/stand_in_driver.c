/* The functions of CUDA's driver and runtime that torch's autograd engine calls: there is one device, and nothing runs on
   it. Loaded before torch (tests/stand_in_gpu.py), so that these are found before the runtime's own. */

int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaSetDevice(int device) { (void)device; return 0; }
int cudaDeviceGetStreamPriorityRange(int *least, int *greatest) { *least = 0; *greatest = -1; return 0; }
int cudaStreamIsCapturing(void *stream, int *status) { (void)stream; *status = 0; return 0; }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active)
{
    (void)device; *flags = 0; *active = 1;
    return 0;
}
