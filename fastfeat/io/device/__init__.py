"""Data that is in the memory of a device already: where it is, never copied, never looked at."""

from fastfeat.io.device.array import DeviceArray, DeviceTable, Ready
from fastfeat.io.device.table import device_table, holds_device_memory

__all__ = ["DeviceArray", "DeviceTable", "Ready", "device_table", "holds_device_memory"]
