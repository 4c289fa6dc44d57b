"""Whether this machine has a CUDA device, by its driver, and whether tests can use it."""

import ctypes

_DRIVER = "libcuda.so.1"


def missing_device():
    """One sentence on why there is no CUDA device, or None where there is one."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return f"{_DRIVER} is missing: install NVIDIA's driver, 580 or newer"
    count = ctypes.c_int()
    if (error := driver.cuInit(0)) or (error := driver.cuDeviceGetCount(ctypes.byref(count))):
        return f"the CUDA driver fails with error {error}: see that nvidia-smi lists a GPU"
    if not count.value:
        return "the CUDA driver has no device: see that CUDA_VISIBLE_DEVICES allows one"
    return None


def usable():
    """Whether tests can use CUDA: there is a device, and onnxruntime is built for it."""
    import onnxruntime  # noqa: PLC0415 - whoever asks for the driver alone need not have it

    return missing_device() is None and (
        "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    )
