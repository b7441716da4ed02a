"""Data that users pass in GPU memory: only its addresses are used; it is not copied or read.

`table` and the modules that read other libraries' structures are imported only for such data.
"""

from fastfeat.io.device.array import DeviceArray, DeviceTable, ReadySignal, holds_device_memory

__all__ = ["DeviceArray", "DeviceTable", "ReadySignal", "holds_device_memory"]
