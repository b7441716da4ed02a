"""Data that is in the memory of a device already: where it is, never copied, never looked at.

What reads the structures of other libraries, `table` and below, is imported when there is any.
"""

from fastfeat.io.device.array import DeviceArray, DeviceTable, Ready, holds_device_memory

__all__ = ["DeviceArray", "DeviceTable", "Ready", "holds_device_memory"]
